// SPDX-License-Identifier: Apache-2.0
#include "strategies/launch/format/formats.hpp"

#include "strategies/launch/format/shell.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan::launch;

TEST_CASE("shell: variables, arrays, defaults, sums and branches are followed") {
  const auto read = read_shell(
      "#!/bin/bash\n"
      "#SBATCH --nodes=4\n"
      "export CUDA_DEVICE_MAX_CONNECTIONS=1\n"
      "TP=${TP:-8}  # a default\n"
      "NODES=4\n"
      "WORLD=$((8 * $NODES))\n"
      "MODEL=(\n"
      "  --num-layers 80\n"
      "  # --hidden-size 1\n"
      "  \"--tokenizer-type NullTokenizer\"\n"
      ")\n"
      "if [[ \"$TP\" == \"8\" ]]; then\n"
      "  MODEL+=(--bf16)\n"
      "else\n"
      "  MODEL+=(--fp16)\n"
      "fi\n"
      "torchrun --nproc_per_node 8 --nnodes $NODES pretrain_gpt.py ${MODEL[@]} \\\n"
      "  --tensor-model-parallel-size $TP --lr 1.5e-4 --global-batch-size=$WORLD\n",
      "train.sh");
  REQUIRE(read.ok());
  const Settings& s = *read;
  CHECK(s.integer("--num-layers", 0) == 80);
  CHECK(s.where("--num-layers") == "train.sh:8: --num-layers");
  CHECK(!s.has("--hidden-size"));
  CHECK(s.text("--tokenizer-type", "") == "NullTokenizer");
  CHECK(s.boolean("--bf16", false));
  CHECK(!s.has("--fp16"));
  CHECK(s.integer("--tensor-model-parallel-size", 0) == 8);
  CHECK(s.number("--lr", 0) == Approx(1.5e-4));
  CHECK(s.integer("--global-batch-size", 0) == 32);
  CHECK(s.integer("launcher.nnodes", 0) == 4);
  CHECK(s.integer("launcher.nproc-per-node", 0) == 8);
  CHECK(s.integer("launcher.nodes", 0) == 4);
  CHECK(s.integer("env.CUDA_DEVICE_MAX_CONNECTIONS", 0) == 1);
}

TEST_CASE("shell: overrides without dashes, lists, what does not end") {
  const auto read =
      read_shell("ARGS=(--recipe r model.tp=8 model.layout=\"'Et*2|t*2L'\" --x 1 2)\n", "a.sh");
  REQUIRE(read.ok());
  CHECK(read->integer("model.tp", 0) == 8);
  CHECK(read->text("model.layout", "") == "'Et*2|t*2L'");
  CHECK(read->text("--recipe", "") == "r");
  CHECK(read->texts("--x") == std::vector<std::string>{"1", "2"});
  const auto open = read_shell("A=(--a 'b\n", "b.sh");
  REQUIRE(!open.ok());
  CHECK(open.error().where == "b.sh:1");
  CHECK(!read_shell("echo hello\n", "c.sh").ok());
  CHECK(*arithmetic("2 * (3 + 4) / 7") == 2);
  CHECK(!arithmetic("1 / 0"));
  CHECK(!arithmetic("x"));
}

TEST_CASE("python: calls, assignments, sums; the last function counts, or the one named") {
  const char* const text =
      "from x import B\n"
      "SEQ = 4096\n"
      "def base(layers=2):\n"
      "    return Trainer.Config(size=layers, training=Training(seq_len=SEQ))\n"
      "def first() -> Trainer.Config:\n"
      "    \"\"\"Text.\"\"\"\n"
      "    config = base(layers=3)\n"
      "    config.training.batch = 2 * SEQ + 1  # sum\n"
      "    config.training.rate = float(SEQ)\n"
      "    config.ac = FullAC.Config()\n"
      "    config.model = Bridge.named(\"shape\").config(load=False)\n"
      "    if unknown:\n"
      "        config.size = 9\n"
      "    return config\n"
      "def second():\n"
      "    return dict(\n"
      "        dimension=400, entities={\"node\": {\"num_partitions\": 16}},\n"
      "        names=[\"a\", 'b'], other=f(), half=1 / 2)\n";
  const auto second = read_python(text, "p.py", "");
  REQUIRE(second.ok());
  CHECK(second->integer("dimension", 0) == 400);
  CHECK(second->where("entities.node") == "p.py: entities.node");
  CHECK(second->integer("entities.node.num_partitions", 0) == 16);
  CHECK(second->texts("names") == std::vector<std::string>{"a", "b"});
  CHECK(second->number("half", 0) == Approx(0.5));
  const auto first = read_python(text, "p.py", "first");
  REQUIRE(first.ok());
  CHECK(first->text("()", "") == "Trainer.Config");
  CHECK(first->integer("size", 0) == 3);
  CHECK(first->integer("training.seq_len", 0) == 4096);
  CHECK(first->integer("training.batch", 0) == 8193);
  CHECK(first->where("training.batch") == "p.py:8: training.batch");
  CHECK(first->number("training.rate", 0) == 4096);
  CHECK(first->text("ac", "") == "FullAC.Config");
  CHECK(first->text("model.self.(0)", "") == "shape");
  CHECK(!first->has("model.load"));  // of the method, not of what it returns
  const auto absent = read_python(text, "p.py", "frist");
  REQUIRE(!absent.ok());
  CHECK(absent.error().hint == "did you mean 'first'?");
  CHECK(!read_python("def f():\n    return dict(a=(1\n", "q.py", "").ok());
}

TEST_CASE("YAML, JSON and TOML give the same settings") {
  const auto yaml = read_tree("a:\n  b: 8\n  c: [1, x]\nd: '8'\n", "a.yaml");
  const auto json = read_tree("{\"a\": {\"b\": 8, \"c\": [1, \"x\"]},\n \"d\": \"8\"}", "a.json");
  const auto toml = read_toml("d = \"8\"\n[a]\nb = 8\nc = [1, \"x\"]\n", "a.toml");
  for (const auto* each : {&yaml, &json, &toml}) {
    REQUIRE(each->ok());
    CHECK((*each)->integer("a.b", 0) == 8);
    CHECK((*each)->texts("a.c") == std::vector<std::string>{"1", "x"});
    CHECK((*each)->find("d")->value.is_string());
  }
  CHECK(yaml->where("a.c") == "a.yaml:3: a.c");
  CHECK(toml->where("a.b") == "a.toml:3: a.b");
  CHECK(!read_tree("a: [1\n", "b.yaml").ok());
  CHECK(!read_tree("- 1\n", "c.yaml").ok());
  const auto bad = read_toml("a = \n", "d.toml");
  REQUIRE(!bad.ok());
  CHECK(bad.error().where == "d.toml:1");
}
