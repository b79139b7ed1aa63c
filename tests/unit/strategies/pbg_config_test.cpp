// SPDX-License-Identifier: Apache-2.0
#include "strategies/embedding/pbg/config.hpp"
#include "strategies/embedding/pbg/write.hpp"
#include "strategies/launch/format/formats.hpp"
#include "tests/unit/catch.hpp"

namespace meshplan::graph {
namespace {

constexpr const char* kConfig = R"(
"""A configuration."""
import os
BASE = "data/"  # a comment with 'quotes'
SIZES = [100, 2 * 200]

def helper():
    return dict(dimension=1)

def get_torchbiggraph_config():
    lr = 1e-1
    config = dict(
        entity_path=BASE + "entities",
        edge_paths=[os.path.join(BASE, "edges")],
        checkpoint_path='model/fb15k',
        entities={"all": {"num_partitions": 2 ** 3}},
        relations=[
            {"name": "all_edges", "lhs": "all", "rhs": "all", "operator": "complex_diagonal"},
        ],
        dynamic_relations=True,
        dimension=400,
        global_emb=False,
        comparator="dot",
        num_epochs=50,
        batch_size=5_000, num_uniform_negs=1000,
        loss_fn="softmax",
        lr=lr,
        regularization_coef=1e-3,
        eval_fraction=0,  # to reproduce
        num_edge_chunks=None,
    )
    return config
)";

TEST_CASE("PBG's configuration, written and read back") {
  const auto read = parse_pbg_config(kConfig, "fb15k.py");
  REQUIRE(read.ok());
  GraphPlan plan = read->plan;
  plan.prefetch = true;
  plan.threads = 40;
  const auto files = write_pbg(read->workload, plan);
  REQUIRE(files.ok());
  CHECK(files->losses.empty());
  const auto back = parse_pbg_config(files->config, "fb15k.py");
  REQUIRE(back.ok());
  CHECK(back->unread.empty());
  CHECK(to_yaml(back->workload) == to_yaml(read->workload));
  CHECK(brief(back->plan) == brief(plan));
  CHECK(back->plan.threads == 40);
  plan.ranks = 8;  // eight machines train on 16 partitions at a time
  plan.order = Order::halving;
  CHECK(write_pbg(read->workload, plan).error().hint == "16 partitions, 2 resident");
}

TEST_CASE("PBG's configuration is read without running it") {
  const auto config = parse_pbg_config(kConfig, "fb15k.py");
  REQUIRE(config.ok());
  const Workload& w = config->workload;
  CHECK(w.dimension == 400);
  CHECK(w.relations.front().op == Operator::complex_diagonal);
  CHECK(w.comparator == Comparator::dot);
  CHECK(w.loss == Loss::softmax);
  CHECK(w.batch == 5000);
  CHECK(w.negatives.batch == 50);  // PBG's default
  CHECK(w.negatives.uniform == 1000);
  CHECK(w.learning_rate == 0.1);
  CHECK(w.n3 == 1e-3);
  CHECK(w.passes_per_epoch == 1);
  CHECK(config->plan.partitions == 8);
  REQUIRE(config->unread.size() == 1);
  CHECK(config->unread.front().find("os.path.join") != std::string::npos);
  CHECK(config->notes.size() == 2);  // checkpoint_path, eval_fraction
}

TEST_CASE("values of Python: arithmetic, tuples, joined texts, what is not known") {
  const auto read = launch::read_python_dictionary(
      "n = 3\n"
      "def f():\n"
      "    return {'a': 7 // 2, 'b': -n * 2.5, 'c': (1,), 'd': ('x'\n"
      "      'y'), 'e': unknown, 'f': f'{n}', 'g': None, 'h': 1 / 4}\n",
      "x.py", "f");
  REQUIRE(read.ok());
  CHECK(read->values.dump() == R"({"a":3,"b":-7.5,"c":[1],"d":"xy","g":null,"h":0.25})");
  CHECK(read->unread.size() == 2);
  CHECK(launch::read_python_dictionary("x = 1\n", "x.py", "f").error().kind == ErrorKind::input);
}

TEST_CASE("what can't be trained is named") {
  const auto refused = parse_pbg_config(
      "def get_torchbiggraph_config():\n"
      "  return dict(entities={'a': {'num_partitions': 1, 'featurized': True}},\n"
      "              relations=[{'name': 'r', 'lhs': 'a', 'rhs': 'a'}], dimension=10)\n",
      "c.py");
  REQUIRE(!refused.ok());
  CHECK(refused.error().where == "c.py: entities: a: featurized");
}

}  // namespace
}  // namespace meshplan::graph
