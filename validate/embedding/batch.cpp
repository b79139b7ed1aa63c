// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/batch.hpp"

#include <algorithm>
#include <cassert>

#include "profiler/kernels/graph_random.hpp"

namespace meshplan::graph {
namespace {

constexpr int64_t kRowGrain = 32;  // rows that one worker updates at a time
// Values of the next chunk's rows that find room in the second cache beside this chunk.
constexpr int64_t kReadAhead = 32768;

void reserve(std::vector<float>& buffer, int64_t count) {
  if (static_cast<int64_t>(buffer.size()) < count) buffer.resize(static_cast<size_t>(count));
}

int64_t chunk_of(const Workload& w) {
  return w.negatives.batch > 0 ? w.negatives.batch : w.negatives.uniform;
}

}  // namespace

void load_products(const Workload& w, DType products) {
  const int64_t edges = std::min<int64_t>(w.batch, chunk_of(w));
  const int64_t rows = edges + w.negatives.uniform;
  const std::vector<float> x(static_cast<size_t>(rows * w.dimension));
  std::vector<float> dq(x.size()), dk(x.size());
  cpu::ScoreSpace space;
  cpu::side_gradient({w.comparator, w.bias, edges, rows, w.dimension, products}, {}, x.data(),
                     x.data(), {}, space, dq.data(), dk.data());
}

BatchTrainer::BatchTrainer(const Workload& workload, SharedParameters& parameters,
                           cpu::Workers& workers, DType products)
    : w_(workload),
      parameters_(parameters),
      workers_(workers),
      products_(products),
      mixed_(workload.batches_mix_relations()),
      chunk_edges_(chunk_of(workload)),
      spaces_(static_cast<size_t>(workers.size())) {}

/// What the batch's edges have beside their ends.
void BatchTrainer::read_edges(const Batch& batch) {
  relations_.clear();
  weights_.clear();
  loops_.clear();
  const Edges& edges = *batch.edges;
  for (const int32_t place : batch.places) {
    const auto at = static_cast<size_t>(place);
    if (mixed_) relations_.push_back(edges.relation[at]);
    if (!edges.weight.empty()) weights_.push_back(edges.weight[at]);
    if (w_.negatives.other_end) loops_.push_back(edges.lhs[at] == edges.rhs[at] ? 1 : 0);
  }
}

/// Ends and uniform candidates of every chunk, chunk after chunk.
void BatchTrainer::draw(const Batch& batch, Side& side, bool right, uint64_t stream) {
  side.type = right ? w_.relations[type_].rhs : w_.relations[type_].lhs;
  side.rows = &(*batch.rows)[static_cast<size_t>(side.type)];
  const bool corrupted = right ? w_.negatives.rhs : w_.negatives.lhs;
  side.candidates = corrupted ? w_.negatives.uniform : 0;
  side.ids.clear();
  side.first.clear();
  const std::vector<int32_t>& ends = right ? batch.edges->rhs : batch.edges->lhs;
  const uint64_t key = combine(batch.key, stream);
  uint64_t drawn = 0;
  for (int64_t c = 0; c < chunks_; ++c) {
    side.first.push_back(static_cast<int64_t>(side.ids.size()));
    const auto part =
        batch.places.subspan(static_cast<size_t>(c * chunk_edges_),
                             std::min(static_cast<size_t>(chunk_edges_),
                                      batch.places.size() - static_cast<size_t>(c * chunk_edges_)));
    for (const int32_t place : part)
      side.ids.push_back(side.rows->place_of(ends[static_cast<size_t>(place)]));
    for (int64_t u = 0; u < side.candidates; ++u)
      side.ids.push_back(static_cast<int32_t>(below(mix64(key + drawn++), side.rows->count())));
  }
  side.first.push_back(static_cast<int64_t>(side.ids.size()));
}

/// Which gradients are whose: of rows, and of operators.
void BatchTrainer::merge_rows() {
  const bool same = lhs_.rows == rhs_.rows;
  moved_[0].rows = lhs_.rows;
  moved_[1].rows = same ? nullptr : rhs_.rows;
  for (Moved& moved : moved_)
    if (moved.rows != nullptr) moved.merge.begin(moved.rows->rows(), workers_.size() == 1);
  const auto add = [](Moved& moved, std::span<const int32_t> ids, int64_t first) {
    assert(moved.rows != nullptr);
    auto position = static_cast<int32_t>(first);
    for (const int32_t id : ids) {
      if (const Features* f = moved.rows->features(); f == nullptr) {
        moved.merge.add(id, position);
      } else {
        const auto entity = static_cast<size_t>(id);
        const float share = 1.0F / static_cast<float>(f->begin[entity + 1] - f->begin[entity]);
        for (int64_t k = f->begin[entity]; k < f->begin[entity + 1]; ++k)
          moved.merge.add(f->rows[static_cast<size_t>(k)], position, share);
      }
      ++position;
    }
  };
  operators_.begin(parameters_.rhs[type_].rows, false);
  slots_.resize(relations_.size());
  const auto edges = static_cast<int64_t>(relations_.size());
  for (int64_t c = 0; c < chunks_; ++c) {
    for (Moved& moved : moved_)
      if (moved.rows != nullptr) moved.merge.next_chunk();
    add(moved_[0], lhs_.of(c), 0);
    add(moved_[same ? 0 : 1], rhs_.of(c), static_cast<int64_t>(lhs_.of(c).size()));
    operators_.next_chunk();
    const auto first = static_cast<int32_t>(operators_.first_group(c));
    if (!mixed_) operators_.add(relation_, 0);
    for (int64_t i = c * chunk_edges_; i < std::min(edges, (c + 1) * chunk_edges_); ++i)
      slots_[static_cast<size_t>(i)] =
          operators_.add(relations_[static_cast<size_t>(i)], 0) - first;
  }
  operators_.end();
  for (Moved& moved : moved_) {
    if (moved.rows == nullptr) continue;
    moved.merge.end();
    reserve(moved.kept, moved.merge.slots() * w_.dimension);
  }
}

void BatchTrainer::gather(const Side& side, int64_t chunk, Space& space,
                          std::vector<float>& out) const {
  const int64_t cols = w_.dimension;
  const std::span<const int32_t> ids = side.of(chunk);
  const auto count = static_cast<int64_t>(ids.size());
  reserve(out, count * cols);
  const float* shift = parameters_.global.empty()
                           ? nullptr
                           : parameters_.global[static_cast<size_t>(side.type)].row(0);
  if (side.rows->features() == nullptr) {
    space.from.clear();
    for (const int32_t id : ids) space.from.push_back(side.rows->row(id));
    cpu::gather_rows(space.from.data(), count, cols, shift, out.data());
    return;
  }
  const Features& f = *side.rows->features();
  for (int64_t i = 0; i < count; ++i) {
    float* row = out.data() + i * cols;
    std::fill_n(row, cols, 0.0F);
    const auto entity = static_cast<size_t>(ids[static_cast<size_t>(i)]);
    for (int64_t k = f.begin[entity]; k < f.begin[entity + 1]; ++k)
      cpu::add_row(cols, side.rows->row(f.rows[static_cast<size_t>(k)]), row);
    const float share = 1.0F / static_cast<float>(f.begin[entity + 1] - f.begin[entity]);
    for (int64_t c = 0; c < cols; ++c) row[c] *= share;
    if (shift != nullptr) cpu::add_row(cols, shift, row);
  }
}

RowStep<LoadedRows> BatchTrainer::step_of(Moved& moved) const {
  return {.merge = moved.merge,
          .rows = *moved.rows,
          .cols = w_.dimension,
          .rate = static_cast<float>(w_.learning_rate),
          .max_norm = static_cast<float>(w_.max_norm),
          .scaled = moved.rows->features() != nullptr,
          .kept = moved.kept.data()};
}

double BatchTrainer::run_chunk(const Batch& batch, int64_t c, Space& space) {
  const int64_t cols = w_.dimension;
  const RelationType& type = w_.relations[type_];
  const int64_t begin = c * chunk_edges_;
  cpu::Chunk chunk;
  chunk.edges = std::min(chunk_edges_, static_cast<int64_t>(batch.places.size()) - begin);
  chunk.lhs = static_cast<int64_t>(lhs_.of(c).size());
  chunk.rhs = static_cast<int64_t>(rhs_.of(c).size());
  gather(lhs_, c, space, space.x);
  gather(rhs_, c, space, space.y);
  chunk.x = space.x.data();
  chunk.y = space.y.data();
  chunk.weights = weights_.empty() ? nullptr : weights_.data() + begin;
  chunk.scale = static_cast<float>(type.weight);
  if (w_.negatives.mask_answers) {
    chunk.x_ids = lhs_.of(c).data();
    chunk.y_ids = rhs_.of(c).data();
  }
  chunk.loops = loops_.data() + (loops_.empty() ? 0 : begin);
  const int64_t p = parameters_of(type.op, cols);
  const int64_t row = mixed_ ? 0 : relation_ * p;
  chunk.rhs_params = parameters_.rhs[type_].values.data() + row;
  if (w_.dynamic_relations) chunk.lhs_params = parameters_.lhs[type_].values.data() + row;
  if (mixed_ && p > 0) {
    chunk.relations = relations_.data() + begin;
    chunk.slots = slots_.data() + begin;
  }
  const int64_t first = operators_.first_group(c);
  const cpu::ChunkModel model{.comparator = w_.comparator,
                              .loss = w_.loss,
                              .op = type.op,
                              .cols = cols,
                              .margin = static_cast<float>(w_.margin),
                              .n3 = static_cast<float>(w_.n3),
                              .bias = w_.bias,
                              .dynamic = w_.dynamic_relations,
                              .mask_batch = w_.negatives.batch == 0,
                              .corrupt_lhs = w_.negatives.lhs,
                              .corrupt_rhs = w_.negatives.rhs,
                              .own = w_.negatives.other_end,
                              .products = products_};
  if (c + 1 < chunks_ && (chunk.lhs + chunk.rhs) * cols <= kReadAhead)
    for (const Side* side : {&lhs_, &rhs_})
      for (const int32_t id : side->of(c + 1)) cpu::prefetch_row(side->rows->row(id), cols);
  reserve(space.gradient, (chunk.lhs + chunk.rhs) * cols);
  float *dx = space.gradient.data(), *dy = dx + chunk.lhs * cols;
  const double loss = cpu::chunk_gradient(model, chunk, space.chunk,
                                          {.dx = dx,
                                           .dy = dy,
                                           .rhs_params = rhs_gradient_.data() + first * p,
                                           .lhs_params = lhs_gradient_.data() + first * p});
  if (!parameters_.global.empty()) {  // before equal rows are summed in place
    for (int64_t i = 0; i < chunk.lhs; ++i)
      cpu::add_row(cols, dx + i * cols, lhs_.global.data() + c * cols);
    for (int64_t i = 0; i < chunk.rhs; ++i)
      cpu::add_row(cols, dy + i * cols, rhs_.global.data() + c * cols);
  }
  reserve(space.row, cols);
  for (Moved& moved : moved_)
    if (moved.rows != nullptr) step_of(moved).chunk(c, dx, space.row.data());
  return loss;
}

void BatchTrainer::update_parameters(ParameterTable& table, std::vector<float>& gradient) {
  const int64_t p = table.cols;
  if (p == 0) return;
  const auto rate = static_cast<float>(w_.relation_rate());
  const std::vector<int32_t>& rows = operators_.rows();
  workers_.run(static_cast<int64_t>(rows.size()), [&](int64_t task, int) {
    const int64_t first = rows[static_cast<size_t>(task)];
    float* sum = gradient.data() + first * p;
    const int32_t row = operators_.group(first).row;
    cpu::prefetch_row(table.row(row), p);
    for (int64_t i = operators_.group(first).next, next = 0; i >= 0; i = next) {
      next = operators_.group(i).next;
      if (next >= 0) cpu::prefetch_row(gradient.data() + next * p, p);
      cpu::add_row(p, gradient.data() + i * p, sum);
    }
    cpu::value_adagrad(p, sum, rate, table.row(row), table.sums.data() + row * p);
  });
}

void BatchTrainer::update_global(const Side& side) {
  const int64_t cols = w_.dimension;
  ParameterTable& table = parameters_.global[static_cast<size_t>(side.type)];
  std::vector<float> sum(static_cast<size_t>(cols), 0.0F);
  for (int64_t c = 0; c < chunks_; ++c)
    cpu::add_row(cols, side.global.data() + c * cols, sum.data());
  cpu::value_adagrad(cols, sum.data(), static_cast<float>(w_.learning_rate), table.row(0),
                     table.sums.data());
}

double BatchTrainer::train(const Batch& batch) {
  const int64_t cols = w_.dimension;
  const auto count = static_cast<int64_t>(batch.places.size());
  if (count == 0) return 0;
  chunks_ = (count + chunk_edges_ - 1) / chunk_edges_;
  relation_ = batch.edges->relation[static_cast<size_t>(batch.places.front())];
  type_ = w_.dynamic_relations ? 0 : static_cast<size_t>(relation_);
  if (!w_.dynamic_relations) relation_ = 0;
  read_edges(batch);
  draw(batch, lhs_, false, 1);
  draw(batch, rhs_, true, 2);
  merge_rows();
  const int64_t p = parameters_of(w_.relations[type_].op, cols);
  reserve(rhs_gradient_, operators_.first_group(chunks_) * p);
  if (w_.dynamic_relations) reserve(lhs_gradient_, operators_.first_group(chunks_) * p);
  if (!parameters_.global.empty())
    for (Side* side : {&lhs_, &rhs_}) side->global.assign(static_cast<size_t>(chunks_ * cols), 0);
  loss_.assign(static_cast<size_t>(chunks_), 0);

  workers_.run(chunks_, [&](int64_t c, int worker) {
    loss_[static_cast<size_t>(c)] = run_chunk(batch, c, spaces_[static_cast<size_t>(worker)]);
  });

  update_parameters(parameters_.rhs[type_], rhs_gradient_);
  if (w_.dynamic_relations) update_parameters(parameters_.lhs[type_], lhs_gradient_);
  if (!parameters_.global.empty()) {
    update_global(lhs_);
    update_global(rhs_);
  }
  for (Moved& moved : moved_) {
    if (moved.rows == nullptr || moved.merge.in_order()) continue;
    const auto rows = static_cast<int64_t>(moved.merge.rows().size());
    workers_.run((rows + kRowGrain - 1) / kRowGrain, [&](int64_t task, int) {
      step_of(moved).shared(task * kRowGrain, std::min(rows, (task + 1) * kRowGrain));
    });
  }
  double loss = 0;
  for (const double one : loss_) loss += one;
  return loss;
}

}  // namespace meshplan::graph
