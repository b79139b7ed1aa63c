// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/batch.hpp"

#include <algorithm>

#include "profiler/kernels/graph_random.hpp"
#include "profiler/kernels/graph_rows.hpp"

namespace meshplan::graph {
namespace {

constexpr int64_t kRowGrain = 32;  // rows that one worker updates at a time
constexpr int64_t kRowsAhead = 3;  // rows between the prefetch and the step

void reserve(std::vector<float>& buffer, int64_t count) {
  if (static_cast<int64_t>(buffer.size()) < count) buffer.resize(static_cast<size_t>(count));
}

}  // namespace

BatchTrainer::BatchTrainer(const Workload& workload, SharedParameters& parameters,
                           cpu::Workers& workers, DType products)
    : w_(workload),
      parameters_(parameters),
      workers_(workers),
      products_(products),
      mixed_(workload.batches_mix_relations()),
      chunk_edges_(workload.negatives.batch > 0 ? workload.negatives.batch
                                                : workload.negatives.uniform),
      spaces_(static_cast<size_t>(workers.size())) {}

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

void BatchTrainer::gather(const Side& side, int64_t chunk, int64_t count, Space& space,
                          std::vector<float>& out) const {
  const int64_t cols = w_.dimension;
  reserve(out, count * cols);
  const float* shift = parameters_.global.empty()
                           ? nullptr
                           : parameters_.global[static_cast<size_t>(side.type)].row(0);
  const int32_t* ids = side.ids.data() + side.first[static_cast<size_t>(chunk)];
  if (side.rows->features() == nullptr) {
    space.from.clear();
    for (int64_t i = 0; i < count; ++i) space.from.push_back(side.rows->row(ids[i]));
    cpu::gather_rows(space.from.data(), count, cols, shift, out.data());
    return;
  }
  const Features& f = *side.rows->features();
  for (int64_t i = 0; i < count; ++i) {
    float* row = out.data() + i * cols;
    std::fill_n(row, cols, 0.0F);
    const auto entity = static_cast<size_t>(ids[i]);
    for (int64_t k = f.begin[entity]; k < f.begin[entity + 1]; ++k)
      cpu::add_row(cols, side.rows->row(f.rows[static_cast<size_t>(k)]), row);
    const float share = 1.0F / static_cast<float>(f.begin[entity + 1] - f.begin[entity]);
    for (int64_t c = 0; c < cols; ++c) row[c] *= share;
    if (shift != nullptr) cpu::add_row(cols, shift, row);
  }
}

double BatchTrainer::run_chunk(const Batch& batch, int64_t c, Space& space) {
  const int64_t cols = w_.dimension;
  const auto at = static_cast<size_t>(c);
  const RelationType& type = w_.relations[type_];
  const int64_t begin = c * chunk_edges_;
  cpu::Chunk chunk;
  chunk.edges = std::min(chunk_edges_, static_cast<int64_t>(batch.places.size()) - begin);
  chunk.lhs = lhs_.first[at + 1] - lhs_.first[at];
  chunk.rhs = rhs_.first[at + 1] - rhs_.first[at];
  gather(lhs_, c, chunk.lhs, space, space.x);
  gather(rhs_, c, chunk.rhs, space, space.y);
  chunk.x = space.x.data();
  chunk.y = space.y.data();
  chunk.weights = weights_.empty() ? nullptr : weights_.data() + begin;
  chunk.scale = static_cast<float>(type.weight);
  if (w_.negatives.mask_answers) {
    chunk.x_ids = lhs_.ids.data() + lhs_.first[at];
    chunk.y_ids = rhs_.ids.data() + rhs_.first[at];
  }
  chunk.loops = loops_.data() + (loops_.empty() ? 0 : begin);
  const int64_t p = parameters_of(type.op, cols);
  const int64_t row = mixed_ ? 0 : relation_ * p;
  chunk.rhs_params = parameters_.rhs[type_].values.data() + row;
  if (w_.dynamic_relations) chunk.lhs_params = parameters_.lhs[type_].values.data() + row;
  chunk.relations = mixed_ && p > 0 ? relations_.data() + begin : nullptr;
  const int64_t gradient_row = (mixed_ ? begin : c) * p;
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
  return cpu::chunk_gradient(model, chunk, space.chunk,
                             {.dx = lhs_.gradient + lhs_.first[at] * cols,
                              .dy = rhs_.gradient + rhs_.first[at] * cols,
                              .rhs_params = rhs_gradient_.data() + gradient_row,
                              .lhs_params = lhs_gradient_.data() + gradient_row});
}

void BatchTrainer::update_rows(Side& side, const Side* also) {
  const int64_t cols = w_.dimension;
  const LoadedRows& loaded = *side.rows;
  merge_.begin(loaded.rows());
  for (const Side* one : {static_cast<const Side*>(&side), also}) {
    if (one == nullptr) continue;
    const auto base = static_cast<int32_t>((one->gradient - gradient_.data()) / cols);
    for (size_t i = 0; i < one->ids.size(); ++i) {
      const int32_t position = base + static_cast<int32_t>(i);
      if (loaded.features() == nullptr) {
        merge_.add(one->ids[i], position);
        continue;
      }
      const Features& f = *loaded.features();
      const auto entity = static_cast<size_t>(one->ids[i]);
      const float share = 1.0F / static_cast<float>(f.begin[entity + 1] - f.begin[entity]);
      for (int64_t k = f.begin[entity]; k < f.begin[entity + 1]; ++k)
        merge_.add(f.rows[static_cast<size_t>(k)], position, share);
    }
  }
  merge_.group();
  const bool shares = loaded.features() != nullptr;
  const auto rows = static_cast<int64_t>(merge_.rows().size());
  const auto rate = static_cast<float>(w_.learning_rate);
  const auto bound = static_cast<float>(w_.max_norm);
  workers_.run((rows + kRowGrain - 1) / kRowGrain, [&](int64_t task, int worker) {
    Space& space = spaces_[static_cast<size_t>(worker)];
    for (int64_t r = task * kRowGrain; r < std::min(rows, (task + 1) * kRowGrain); ++r) {
      const RowMerge::Row& row = merge_.rows()[static_cast<size_t>(r)];
      if (r + kRowsAhead < rows) {
        const RowMerge::Row& ahead = merge_.rows()[static_cast<size_t>(r + kRowsAhead)];
        cpu::prefetch_row(loaded.row(ahead.row), cols);
        cpu::prefetch_row(gradient_.data() + merge_.touch(ahead.first).position * cols, cols);
      }
      const RowMerge::Touch* touch = &merge_.touch(row.first);
      float* sum = gradient_.data() + touch->position * cols;
      if (shares) {  // a position has several rows: its gradient must stay as it is
        reserve(space.row, cols);
        sum = space.row.data();
        std::fill_n(sum, cols, 0.0F);
        for (;; touch = &merge_.touch(touch->next)) {
          const float* g = gradient_.data() + touch->position * cols;
          for (int64_t c = 0; c < cols; ++c) sum[c] += touch->scale * g[c];
          if (touch->next < 0) break;
        }
      } else {
        while (touch->next >= 0) {
          touch = &merge_.touch(touch->next);
          cpu::add_row(cols, gradient_.data() + touch->position * cols, sum);
        }
      }
      cpu::row_adagrad(cols, sum, rate, bound, loaded.row(row.row), loaded.sum(row.row));
    }
  });
}

void BatchTrainer::update_parameters(ParameterTable& table, const std::vector<float>& gradient,
                                     int64_t rows, std::span<const int32_t> relations,
                                     double rate) {
  const int64_t p = table.cols;
  if (p == 0) return;
  parameter_merge_.begin(table.rows);
  for (int64_t i = 0; i < rows; ++i)
    parameter_merge_.add(mixed_ ? relations[static_cast<size_t>(i)] : relation_,
                         static_cast<int32_t>(i));
  parameter_merge_.group();
  const std::vector<RowMerge::Row>& all = parameter_merge_.rows();
  workers_.run(static_cast<int64_t>(all.size()), [&](int64_t task, int worker) {
    Space& space = spaces_[static_cast<size_t>(worker)];
    const RowMerge::Row& row = all[static_cast<size_t>(task)];
    const RowMerge::Touch* touch = &parameter_merge_.touch(row.first);
    reserve(space.row, p);
    std::copy_n(gradient.data() + touch->position * p, p, space.row.data());
    while (touch->next >= 0) {
      touch = &parameter_merge_.touch(touch->next);
      cpu::add_row(p, gradient.data() + touch->position * p, space.row.data());
    }
    cpu::value_adagrad(p, space.row.data(), static_cast<float>(rate), table.row(row.row),
                       table.sums.data() + row.row * p);
  });
}

/// Before the rows move: their gradients are summed in place.
void BatchTrainer::update_global(const Side& side) {
  const int64_t cols = w_.dimension;
  ParameterTable& table = parameters_.global[static_cast<size_t>(side.type)];
  shared_.assign(static_cast<size_t>(cols), 0.0F);
  for (size_t i = 0; i < side.ids.size(); ++i)
    cpu::add_row(cols, side.gradient + static_cast<int64_t>(i) * cols, shared_.data());
  cpu::value_adagrad(cols, shared_.data(), static_cast<float>(w_.learning_rate), table.row(0),
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
  draw(batch, lhs_, false, 1);
  draw(batch, rhs_, true, 2);
  relations_.clear();
  weights_.clear();
  loops_.clear();
  for (const int32_t place : batch.places) {
    if (mixed_) relations_.push_back(batch.edges->relation[static_cast<size_t>(place)]);
    if (!batch.edges->weight.empty())
      weights_.push_back(batch.edges->weight[static_cast<size_t>(place)]);
    if (w_.negatives.other_end)
      loops_.push_back(batch.edges->lhs[static_cast<size_t>(place)] ==
                               batch.edges->rhs[static_cast<size_t>(place)]
                           ? 1
                           : 0);
  }
  const auto lhs_rows = static_cast<int64_t>(lhs_.ids.size());
  reserve(gradient_, (lhs_rows + static_cast<int64_t>(rhs_.ids.size())) * cols);
  lhs_.gradient = gradient_.data();
  rhs_.gradient = gradient_.data() + lhs_rows * cols;
  const int64_t p = parameters_of(w_.relations[type_].op, cols);
  const int64_t operator_rows = mixed_ ? count : chunks_;
  reserve(rhs_gradient_, operator_rows * p);
  if (w_.dynamic_relations) reserve(lhs_gradient_, operator_rows * p);
  loss_.assign(static_cast<size_t>(chunks_), 0);

  workers_.run(chunks_, [&](int64_t c, int worker) {
    loss_[static_cast<size_t>(c)] = run_chunk(batch, c, spaces_[static_cast<size_t>(worker)]);
  });

  const double rate = w_.relation_rate();
  update_parameters(parameters_.rhs[type_], rhs_gradient_, operator_rows, relations_, rate);
  if (w_.dynamic_relations)
    update_parameters(parameters_.lhs[type_], lhs_gradient_, operator_rows, relations_, rate);
  if (!parameters_.global.empty()) {
    update_global(lhs_);
    update_global(rhs_);
  }
  const bool same = lhs_.rows == rhs_.rows;
  update_rows(lhs_, same ? &rhs_ : nullptr);
  if (!same) update_rows(rhs_, nullptr);
  double loss = 0;
  for (const double one : loss_) loss += one;
  return loss;
}

}  // namespace meshplan::graph
