// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/validate/host_graph_device.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "profiler/cuda/graph_code.hpp"
#include "profiler/kernels/elementwise.hpp"

namespace meshplan::test {
namespace {

using namespace graph;  // NOLINT

/// A team of one.
struct Alone {
  int64_t rank() const { return 0; }
  int64_t size() const { return 1; }
  void wait() const {}
  float sum(float x) const { return x; }
  float most(float x) const { return x; }
};

class HostGraphDevice : public GraphDevice {
 public:
  explicit HostGraphDevice(int64_t free_bytes) : free_bytes_(free_bytes) {}
  std::string name() const override { return "CPU"; }
  int64_t peak_bytes() const override { return bytes_; }
  int64_t free_bytes() const override { return free_bytes_; }
  Result<std::shared_ptr<void>> allocate(int64_t bytes) override {
    bytes_ += bytes;
    // What is read before it is written shows.
    auto memory = std::make_shared<std::vector<float>>(static_cast<size_t>(bytes / 4 + 4), NAN);
    return std::shared_ptr<void>(memory, memory->data());
  }
  Status upload(void* to, const void* from, int64_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
    return Done{};
  }
  Status download(void* to, const void* from, int64_t bytes) override {
    return upload(to, from, bytes);
  }
  Status zero(void* data, int64_t bytes) override {
    if (bytes > 0) std::memset(data, 0, static_cast<size_t>(bytes));
    return Done{};
  }

  Status draw(const ChunkGrid& grid, const DeviceDraw& draw) override {
    for (int64_t s = 0; s < grid.rows(left); ++s) code::draw_slot<left>(grid, draw, s);
    for (int64_t s = 0; s < grid.rows(right); ++s) code::draw_slot<right>(grid, draw, s);
    return Done{};
  }
  Status gather(const DeviceGather& gather) override {
    for (int64_t row = 0; row < gather.rows; ++row) code::gather_row(gather, row, Alone());
    return Done{};
  }
  Status operate(const DeviceOperate& operate) override {
    for (int64_t row = 0; row < operate.op.chunks * operate.op.rows; ++row)
      code::operate_row(operate, row, Alone());
    return Done{};
  }
  Status operator_gradient(const DeviceOperatorGradient& gradient) override {
    const DeviceOperator& op = gradient.op;
    for (int64_t chunk = 0; op.relations == nullptr && chunk < op.chunks; ++chunk)
      for (int64_t c = 0; c < op.parameters; ++c)
        gradient.dparams[chunk * op.parameters + c] =
            code::operator_column(gradient, chunk, c, 0, 1);
    for (int64_t row = 0; row < op.chunks * op.rows; ++row)
      code::operator_gradient_row(gradient, row, Alone());
    return Done{};
  }
  Status product(const DeviceProduct& p) override {
    const auto value = [&](const void* data, int64_t at) {
      return p.type == DType::bf16 ? cpu::float_of(static_cast<const uint16_t*>(data)[at])
                                   : static_cast<const float*>(data)[at];
    };
    for (int64_t i = 0; i < p.count; ++i)
      for (int64_t m = 0; m < p.m; ++m)
        for (int64_t n = 0; n < p.n; ++n) {
          float sum = 0;
          for (int64_t k = 0; k < p.k; ++k) {
            const int64_t a = p.layout == Layout::nt ? k * p.m + m : m * p.k + k;
            const int64_t b = p.layout == Layout::tn ? n * p.k + k : k * p.n + n;
            sum += value(p.a, i * p.a_stride + a) * value(p.b, i * p.b_stride + b);
          }
          p.c[i * p.c_stride + m * p.n + n] = sum;
        }
    return Done{};
  }
  Status loss(const DeviceLoss& loss) override {
    // both ways in which GPUs have the scores, in turns
    constexpr int64_t kHeld = 16;
    for (int64_t row = 0; row < loss.chunks * loss.edges; ++row) {
      code::ScoresInMemory in_memory{code::scores_of(loss, row), loss.slots};
      code::ScoresHeld<kHeld> held(code::scores_of(loss, row), loss.slots, Alone());
      row % 2 == 0 && loss.slots <= 4 * kHeld ? code::loss_row(loss, row, Alone(), held)
                                              : code::loss_row(loss, row, Alone(), in_memory);
    }
    return Done{};
  }
  Status n3(const DeviceN3& n3) override {
    for (int64_t row = 0; row < n3.chunks * n3.rows; ++row) code::n3_row(n3, row, Alone());
    return Done{};
  }
  Status add(const DeviceAdd& add) override {
    for (int64_t row = 0; row < add.chunks * add.rows; ++row) code::add_row(add, row, Alone());
    return Done{};
  }
  Status step(const DeviceStep& step) override {
    std::vector<int32_t> position(static_cast<size_t>(step.count));
    std::iota(position.begin(), position.end(), 0);
    const auto id_of = [&](int32_t at) { return static_cast<uint32_t>(step.ids[at]); };
    std::stable_sort(position.begin(), position.end(),
                     [&](int32_t a, int32_t b) { return id_of(a) < id_of(b); });
    std::vector<uint32_t> id;
    id.reserve(position.size());
    for (const int32_t at : position) id.push_back(id_of(at));
    const code::SortedTouches touches{id.data(), position.data(), step.count};
    for (int64_t first = 0; first < step.count; first += code::kTouches)
      code::sum_pieces(step, touches, first, Alone());
    for (int64_t at = 0; at < step.count; ++at)
      step.table.count > 0 ? code::step_entity(step, touches, at, Alone())
                           : code::step_values(step, touches, at, Alone());
    return Done{};
  }
  Status sum(int64_t count, const float* losses, double* sum) override {
    for (int64_t i = 0; i < count; ++i) *sum += static_cast<double>(losses[i]);
    return Done{};
  }

 private:
  int64_t free_bytes_, bytes_ = 0;
};

}  // namespace

std::unique_ptr<graph::GraphDevice> host_graph_device(int64_t free_bytes) {
  return std::make_unique<HostGraphDevice>(free_bytes);
}

}  // namespace meshplan::test
