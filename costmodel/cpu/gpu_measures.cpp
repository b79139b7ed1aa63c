// SPDX-License-Identifier: Apache-2.0
#include "costmodel/cpu/gpu_measures.hpp"

namespace meshplan {

TableName table_name(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {"", text};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

std::string with_profile(const std::string& profile, const std::string& text) {
  return profile + ":" + table_name(text).table;
}

Result<std::shared_ptr<const GpuMeasures>> GpuMeasures::load(const std::string& path) {
  if (path.empty()) return std::shared_ptr<const GpuMeasures>();
  MESHPLAN_TRY(CpuProfile profile, read_cpu_profile(path));
  if (profile.device != "cuda") {
    return Diagnostic{.kind = ErrorKind::input,
                      .message = "a profile of a CPU says nothing of a GPU",
                      .where = path,
                      .value = profile.processor,
                      .hint = "meshplan profile --device cuda; a CPU's predicts 'validate run'"};
  }
  return std::shared_ptr<const GpuMeasures>(new GpuMeasures(std::move(profile)));
}

std::optional<double> GpuMeasures::seconds(const CpuTables* tables, const CpuWork& work) {
  if (tables == nullptr || work.work <= 0) return {};
  const auto found = tables->kernels.find(work.kernel);
  if (found == tables->kernels.end()) return {};
  return work.work * found->second.seconds_per_work(work.sizes);
}

std::optional<double> GpuMeasures::operation(const Body& body) const {
  return seconds(&profile_.of(1), cpu_work(body));
}

std::optional<double> GpuMeasures::stream(double bytes) const {
  // bf16: two values read and one written
  return seconds(&profile_.of(1), {"add", {bytes / 6}, bytes / 6});
}

std::optional<double> GpuMeasures::rows(double bytes) const {
  return seconds(&profile_.of(1), {"embedding-forward", {bytes / 4}, bytes / 4});
}

std::optional<double> GpuMeasures::collective(CollectiveOp op, double bytes, int64_t ranks,
                                              int64_t nodes) const {
  return seconds(profile_.find(static_cast<int>(ranks), static_cast<int>(nodes)),
                 cpu_work(op, bytes));
}

std::optional<double> GpuMeasures::message(double bytes, int64_t nodes) const {
  return seconds(profile_.find(2, nodes > 1 ? 2 : 1), cpu_message(bytes));
}

}  // namespace meshplan
