// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/device_batch.hpp"

#include <fmt/format.h>

#include <tuple>

#include "strategies/embedding/plan.hpp"
#include "validate/embedding/device_memory.hpp"

namespace meshplan::graph {
namespace {

/// Rows as products take them: fp32, and in bf16 where they do.
struct Rows {
  float* wide = nullptr;
  uint16_t* narrow = nullptr;
  int64_t slots = 0;
};

class DeviceWorker : public BatchWorker {
 public:
  DeviceWorker(const Workload& workload, SharedParameters& parameters, DType products,
               GraphDevice& device)
      : w_(workload),
        parameters_(parameters),
        device_(device),
        memory_(device),
        bf16_(products == DType::bf16),
        mixed_(workload.batches_mix_relations()),
        chunk_edges_(workload.negatives.batch > 0 ? workload.negatives.batch
                                                  : workload.negatives.uniform) {
    corrupted_[left] = w_.negatives.lhs;
    corrupted_[right] = w_.negatives.rhs;
  }

  Status begin(const TrainingRound& round) override {
    round_ = &round;
    MESHPLAN_CHECK(memory_.bring(round));
    MESHPLAN_CHECK(memory_.bring(parameters_));
    MESHPLAN_CHECK(reserve());
    return device_.zero(loss_.as<double>(), sizeof(double));
  }

  Status train(const BatchDraw& batch) override;

  Result<double> end() override {
    MESHPLAN_CHECK(memory_.fetch(parameters_));
    double loss = 0;
    MESHPLAN_CHECK(device_.download(&loss, loss_.as<double>(), sizeof(loss)));
    return loss;
  }

  Status settle(const Tables& tables, bool leaves) override {
    return memory_.settle(tables, leaves);
  }

 private:
  /// The equal chunks of a batch that are in work, and where theirs begin in the batch.
  struct Run {
    ChunkGrid grid;
    int64_t edge = 0, chunk = 0, row[2] = {};
  };

  Status reserve();
  ChunkGrid grid_of(int64_t chunks, int64_t edges) const;
  Status train(const BatchDraw& batch, const Run& run, bool odd);
  Status plain(const Run& run, bool odd);
  Status dynamic(const Run& run, bool odd);
  Status side(const Run& run, bool odd, End end, const Rows& q, const Rows& k, float* dq,
              float* dk);
  Status regularise(const Run& run);
  Status step_operators(size_t table, float* gradient, int64_t edges, int64_t chunks, bool again);
  Status step_rows(End end, int64_t first, int64_t count);

  int64_t cols() const { return w_.dimension; }
  const RelationType& relation() const { return w_.relations[type_]; }
  int64_t parameter_count() const { return parameters_of(relation().op, cols()); }
  /// The table of an end's operators among SharedParameters::all(); left with dynamic relations.
  size_t operators_of(End end) const { return end == right ? type_ : w_.relations.size() + type_; }
  float* gradient(const Run& run, End end) const {
    return gradient_.as<float>() + (first_row_[end] + run.row[end]) * cols();
  }
  int32_t* ids(const Run& run, End end) const {
    return ids_.as<int32_t>() + first_row_[end] + run.row[end];
  }
  float* operator_gradient(const Run& run, End end) const {
    return operator_gradient_[end].as<float>() +
           (mixed_ ? run.edge : run.chunk) * parameter_count();
  }
  DeviceOperator operator_of(const Run& run, End end, int64_t rows) const {
    return {relation().op,
            run.grid.chunks,
            rows,
            cols(),
            parameter_count(),
            memory_.operators(operators_of(end)),
            mixed_ && parameter_count() > 0 ? relations_.as<int32_t>() + run.edge : nullptr};
  }

  const Workload& w_;
  SharedParameters& parameters_;
  GraphDevice& device_;
  DeviceMemoryOfRound memory_;
  bool bf16_, mixed_, corrupted_[2] = {};
  int64_t chunk_edges_;
  const TrainingRound* round_ = nullptr;
  size_t type_ = 0;            ///< relation type of the batch
  int64_t first_row_[2] = {};  ///< of an end, in the batch's ids and gradients
  DeviceBuffer ids_, relations_, weights_, gradient_, operator_gradient_[2], one_relation_;
  // of a run: rows, operated ones, gradients of the queries, scores; [by End]
  DeviceBuffer rows_[2], operated_[2], operated_gradient_, query_gradient_[2], scores_, losses_;
  DeviceBuffer narrow_[2], narrow_operated_[2], narrow_scores_;
  DeviceBuffer loss_;
};

ChunkGrid DeviceWorker::grid_of(int64_t chunks, int64_t edges) const {
  ChunkGrid grid{.chunks = chunks, .edges = edges, .cols = cols()};
  for (const End end : {left, right}) {
    grid.uniform[end] = corrupted_[end] ? w_.negatives.uniform : 0;
    grid.slots[end] = device_slots(edges + grid.uniform[end]);
  }
  return grid;
}

/// For the largest batch; the first time only.
Status DeviceWorker::reserve() {
  const DeviceScratch bytes = device_scratch(w_, bf16_ ? DType::bf16 : DType::fp32);
  std::vector<std::pair<DeviceBuffer*, int64_t>> all = {
      {&ids_, bytes.ids},
      {&relations_, bytes.relations},
      {&weights_, bytes.weights},
      {&gradient_, bytes.gradient},
      {&scores_, bytes.scores},
      {&losses_, bytes.losses},
      {&one_relation_, bytes.chunks},
      {&narrow_scores_, bytes.narrow_scores},
      {&operated_gradient_, bytes.operated_gradient}};
  for (const End end : {left, right})
    for (const auto& [buffer, size] : {std::pair{&rows_[end], bytes.rows[end]},
                                       {&operated_[end], bytes.operated[end]},
                                       {&query_gradient_[end], bytes.query_gradient[end]},
                                       {&operator_gradient_[end], bytes.operator_gradient[end]},
                                       {&narrow_[end], bytes.narrow_rows[end]},
                                       {&narrow_operated_[end], bytes.narrow_operated[end]}})
      all.emplace_back(buffer, size);
  for (const auto& [buffer, size] : all) MESHPLAN_CHECK(buffer->reserve(device_, size));
  MESHPLAN_CHECK(loss_.reserve(device_, sizeof(double)));
  return device_.zero(one_relation_.as<int32_t>(), bytes.chunks);
}

/// Scores, losses and gradients of the corrupted `end`: queries q, candidates k.
Status DeviceWorker::side(const Run& run, bool odd, End end, const Rows& q, const Rows& k,
                          float* dq, float* dk) {
  const ChunkGrid& g = run.grid;
  const int64_t m = g.edges, n = g.slots[end], d = cols();
  if (!corrupted_[end]) {
    MESHPLAN_CHECK(device_.zero(dq, 4 * g.queries() * d));
    return device_.zero(dk, 4 * g.rows(end) * d);
  }
  const auto operand = [&](const Rows& rows) -> const void* {
    return bf16_ ? static_cast<const void*>(rows.narrow) : rows.wide;
  };
  float* scores = scores_.as<float>();
  DeviceProduct product{.type = bf16_ ? DType::bf16 : DType::fp32, .odd = odd, .count = g.chunks};
  product.layout = Layout::tn;
  std::tie(product.m, product.n, product.k) = std::tuple(m, n, d);
  std::tie(product.a, product.a_stride) = std::tuple(operand(q), q.slots * d);
  std::tie(product.b, product.b_stride) = std::tuple(operand(k), n * d);
  std::tie(product.c, product.c_stride) = std::tuple(scores, m * n);
  MESHPLAN_CHECK(device_.product(product));
  MESHPLAN_CHECK(device_.loss(
      {.loss = w_.loss,
       .margin = static_cast<float>(w_.margin),
       .scale = static_cast<float>(relation().weight),
       .mask_batch = w_.negatives.batch == 0,
       .chunks = g.chunks,
       .edges = m,
       .candidates = m + g.uniform[end],
       .slots = n,
       .ids = w_.negatives.mask_answers ? ids(run, end) : nullptr,
       .weights = round_->edges.weight.empty() ? nullptr : weights_.as<float>() + run.edge,
       .scores = scores,
       .losses = losses_.as<float>(),
       .narrow = narrow_scores_.as<uint16_t>()}));
  const Rows slopes{scores, narrow_scores_.as<uint16_t>(), n};
  product.layout = Layout::nn;
  std::tie(product.m, product.n, product.k) = std::tuple(m, d, n);
  std::tie(product.a, product.a_stride) = std::tuple(operand(slopes), m * n);
  std::tie(product.c, product.c_stride) = std::tuple(dq, m * d);
  MESHPLAN_CHECK(device_.product(product));
  product.layout = Layout::nt;
  std::tie(product.m, product.n, product.k) = std::tuple(n, d, m);
  std::tie(product.b, product.b_stride) = std::tuple(operand(q), q.slots * d);
  std::tie(product.c, product.c_stride) = std::tuple(dk, n * d);
  return device_.product(product);
}

/// Reciprocal relations: corrupted heads against g(y), corrupted tails against h(x).
Status DeviceWorker::dynamic(const Run& run, bool odd) {
  const ChunkGrid& g = run.grid;
  for (const End end : {left, right}) {  // that is operated on; the other is corrupted
    const End other = end == left ? right : left;
    const Rows own{rows_[end].as<float>(), narrow_[end].as<uint16_t>(), g.slots[end]};
    const Rows query{operated_[end].as<float>(), narrow_operated_[end].as<uint16_t>(), g.edges};
    MESHPLAN_CHECK(device_.operate({operator_of(run, end, g.edges),
                                    {own.wide, own.slots},
                                    {query.wide, query.slots},
                                    query.narrow}));
    const Rows candidates{rows_[other].as<float>(), narrow_[other].as<uint16_t>(), g.slots[other]};
    MESHPLAN_CHECK(side(run, odd, other, query, candidates, query_gradient_[end].as<float>(),
                        gradient(run, other)));
  }
  for (const End end : {left, right})
    MESHPLAN_CHECK(device_.operator_gradient({operator_of(run, end, g.edges),
                                              {rows_[end].as<float>(), g.slots[end]},
                                              {query_gradient_[end].as<float>(), g.edges},
                                              {gradient(run, end), g.slots[end]},
                                              true,
                                              operator_gradient(run, end)}));
  return Done{};
}

/// One relation, its operator on every right end and right candidate.
Status DeviceWorker::plain(const Run& run, bool odd) {
  const ChunkGrid& g = run.grid;
  const bool moved = relation().op != Operator::none;
  const Rows x{rows_[left].as<float>(), narrow_[left].as<uint16_t>(), g.slots[left]};
  const Rows own{rows_[right].as<float>(), narrow_[right].as<uint16_t>(), g.slots[right]};
  Rows y = own;
  const DeviceOperator op = operator_of(run, right, g.slots[right]);
  if (moved) {
    y = {operated_[right].as<float>(), narrow_operated_[right].as<uint16_t>(), g.slots[right]};
    MESHPLAN_CHECK(device_.operate({op, {own.wide, own.slots}, {y.wide, y.slots}, y.narrow}));
  }
  float* dy = moved ? operated_gradient_.as<float>() : gradient(run, right);
  float* dx = gradient(run, left);
  float *of_y = query_gradient_[right].as<float>(), *of_x = query_gradient_[left].as<float>();
  MESHPLAN_CHECK(side(run, odd, left, y, x, of_y, dx));
  MESHPLAN_CHECK(side(run, odd, right, x, y, of_x, dy));
  const auto add = [&](float* from, float* to, End end) {
    return device_.add({g.chunks, g.edges, cols(), {from, g.edges}, {to, g.slots[end]}});
  };
  MESHPLAN_CHECK(add(of_y, dy, right));
  MESHPLAN_CHECK(add(of_x, dx, left));
  if (!moved) return Done{};
  return device_.operator_gradient({op,
                                    {own.wide, own.slots},
                                    {dy, g.slots[right]},
                                    {gradient(run, right), g.slots[right]},
                                    false,
                                    operator_gradient(run, right)});
}

/// Ends count once a corrupted side, operators once where they act (as PBG counts them).
Status DeviceWorker::regularise(const Run& run) {
  const ChunkGrid& g = run.grid;
  const auto n3 = static_cast<float>(w_.n3);
  DeviceN3 step{.halves = relation().op == Operator::complex_diagonal,
                .chunks = g.chunks,
                .rows = g.edges,
                .cols = cols(),
                .factor = w_.dynamic_relations ? 2 * n3 : n3,
                .losses = losses_.as<float>(),
                .loss_stride = g.edges};
  for (const End end : {left, right}) {
    step.x = {rows_[end].as<float>(), g.slots[end]};
    step.g = {gradient(run, end), g.slots[end]};
    MESHPLAN_CHECK(device_.n3(step));
  }
  if (parameter_count() == 0) return Done{};
  step.cols = parameter_count();
  step.factor = n3;
  if (!mixed_) {  // one operator for all edges of a chunk
    step.rows = 1;
    step.factor = n3 * static_cast<float>(g.edges);
  }
  for (const End end : {left, right}) {
    if (end == left && !w_.dynamic_relations) continue;
    step.x = {memory_.operators(operators_of(end)), 0};
    step.index = mixed_ ? relations_.as<int32_t>() + run.edge : nullptr;
    step.g = {operator_gradient(run, end), step.rows};
    MESHPLAN_CHECK(device_.n3(step));
  }
  return Done{};
}

Status DeviceWorker::train(const BatchDraw& batch, const Run& run, bool odd) {
  const ChunkGrid& g = run.grid;
  DeviceDraw draw;
  memory_.edges_of(batch.group, draw);
  draw.order = batch.order;
  draw.from = batch.from + run.edge;
  draw.relations = mixed_ ? relations_.as<int32_t>() + run.edge : nullptr;
  if (draw.edge_weight != nullptr) draw.weights = weights_.as<float>() + run.edge;
  for (const End end : {left, right}) {
    draw.rows[end] = memory_.rows(end == left ? relation().lhs : relation().rhs);
    draw.key[end] = combine(batch.key, end == left ? 1 : 2);
    draw.drawn[end] = run.chunk * g.uniform[end];
    draw.ids[end] = ids(run, end);
  }
  MESHPLAN_CHECK(device_.draw(g, draw));
  MESHPLAN_CHECK(device_.zero(losses_.as<float>(), 4 * g.queries()));
  for (const End end : {left, right}) {
    const Rows rows{rows_[end].as<float>(), narrow_[end].as<uint16_t>(), g.slots[end]};
    // beside the products, operators and N3 read the ends, plain operators all right candidates
    const bool ends = w_.dynamic_relations || end == left;
    MESHPLAN_CHECK(device_.gather({g.rows(end), cols(), g.slots[end], ends ? g.edges : g.slots[end],
                                   draw.rows[end], draw.ids[end], rows.wide, rows.narrow}));
  }
  MESHPLAN_CHECK(w_.dynamic_relations ? dynamic(run, odd) : plain(run, odd));
  if (w_.n3 > 0) MESHPLAN_CHECK(regularise(run));
  return device_.sum(g.queries(), losses_.as<float>(), loss_.as<double>());
}

Status DeviceWorker::step_operators(size_t table, float* gradient, int64_t edges, int64_t chunks,
                                    bool again) {
  if (parameter_count() == 0) return Done{};
  const ParameterTable& of = *parameters_.all()[table];
  float* values = memory_.operators(table);
  return device_.step({.count = mixed_ ? edges : chunks,
                       .cols = of.cols,
                       .ids = mixed_ ? relations_.as<int32_t>() : one_relation_.as<int32_t>(),
                       .same_ids = again,
                       .gradient = gradient,
                       .rate = static_cast<float>(w_.relation_rate()),
                       .values = values,
                       .sums = values + of.rows * of.cols,
                       .rows = of.rows});
}

Status DeviceWorker::step_rows(End end, int64_t first, int64_t count) {
  return device_.step({.count = count,
                       .cols = cols(),
                       .ids = ids_.as<int32_t>() + first,
                       .gradient = gradient_.as<float>() + first * cols(),
                       .rate = static_cast<float>(w_.learning_rate),
                       .max_norm = static_cast<float>(w_.max_norm),
                       .table = memory_.rows(end == left ? relation().lhs : relation().rhs)});
}

Status DeviceWorker::train(const BatchDraw& batch) {
  const int64_t edges = batch.to - batch.from;
  if (edges == 0) return Done{};
  const EdgeGroup& group = round_->groups[batch.group];
  const auto some_edge = static_cast<size_t>(group.pieces.front().begin);
  type_ = w_.dynamic_relations ? 0 : static_cast<size_t>(round_->edges.relation[some_edge]);
  Run full{.grid = grid_of(edges / chunk_edges_, chunk_edges_)};
  Run rest{.grid = grid_of(edges % chunk_edges_ > 0 ? 1 : 0, edges % chunk_edges_)};
  rest.edge = full.grid.queries();
  rest.chunk = full.grid.chunks;
  int64_t rows[2] = {};
  for (const End end : {left, right}) {
    rest.row[end] = full.grid.rows(end);
    rows[end] = full.grid.rows(end) + rest.grid.rows(end);
  }
  first_row_[right] = rows[left];
  const bool shorter = edges < w_.batch;  // the last batch of a relation's edges
  if (full.grid.chunks > 0) MESHPLAN_CHECK(train(batch, full, shorter));
  if (rest.grid.chunks > 0) MESHPLAN_CHECK(train(batch, rest, true));

  const int64_t chunks = full.grid.chunks + rest.grid.chunks;
  for (const End end : {right, left})
    if (end == right || w_.dynamic_relations)
      MESHPLAN_CHECK(step_operators(operators_of(end), operator_gradient_[end].as<float>(), edges,
                                    chunks, end == left));
  if (relation().lhs == relation().rhs) return step_rows(left, 0, rows[left] + rows[right]);
  MESHPLAN_CHECK(step_rows(left, 0, rows[left]));
  return step_rows(right, rows[left], rows[right]);
}

}  // namespace

std::vector<std::string> not_on_devices(const Workload& w, DType products) {
  const int64_t pack = products == DType::bf16 ? 8 : 4;  // values of 16 bytes: so products read
  std::vector<std::string> out;
  const auto refuse = [&](bool when, std::string what) {
    if (when) out.push_back(std::move(what));
  };
  for (const RelationType& one : w.relations)
    refuse(one.op == Operator::linear || one.op == Operator::affine,
           fmt::format("operator {}", name_of(one.op)));
  refuse(w.comparator != Comparator::dot, fmt::format("comparator {}", name_of(w.comparator)));
  refuse(w.dimension % pack != 0, fmt::format("dimension {} (a multiple of {}, in {})", w.dimension,
                                              pack, name_of(products)));
  refuse(w.bias, "bias");
  refuse(w.global_embedding, "global_embedding");
  refuse(w.negatives.other_end, "other_end_negative");
  for (const EntityType& type : w.entities)
    refuse(type.featurized(), fmt::format("features of '{}'", type.name));
  return out;
}

std::unique_ptr<BatchWorker> make_device_worker(const Workload& workload,
                                                SharedParameters& parameters, DType products,
                                                GraphDevice& device) {
  return std::make_unique<DeviceWorker>(workload, parameters, products, device);
}

}  // namespace meshplan::graph
