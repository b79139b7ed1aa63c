// SPDX-License-Identifier: Apache-2.0
// The few functions are declared here: nvml.h does not come with every toolkit, and their ABI has
// not changed since 2012.
#include "profiler/cuda/nvml.hpp"

#include <array>

namespace meshplan::cuda {
namespace {

Status succeeded(int code, const char* call) {
  if (code == 0) return Done{};
  return Diagnostic{.kind = ErrorKind::missing,
                    .message = "NVML does not answer",
                    .where = call,
                    .value = std::to_string(code)};
}

}  // namespace

Result<Nvml> Nvml::open(int device) {
  MESHPLAN_TRY(const Library library, Library::open({"libnvidia-ml.so.1"}));
  int (*start)() = nullptr;
  int (*by_index)(unsigned, Device*) = nullptr;
  int (*driver_version)(char*, unsigned) = nullptr;
  Nvml nvml;
  MESHPLAN_CHECK(library.get("nvmlInit_v2", &start));
  MESHPLAN_CHECK(library.get("nvmlDeviceGetHandleByIndex_v2", &by_index));
  MESHPLAN_CHECK(library.get("nvmlSystemGetDriverVersion", &driver_version));
  MESHPLAN_CHECK(library.get("nvmlDeviceGetPowerUsage", &nvml.power_));
  MESHPLAN_CHECK(library.get("nvmlDeviceGetClockInfo", &nvml.clock_));
  MESHPLAN_CHECK(library.get("nvmlDeviceGetTemperature", &nvml.temperature_));
  MESHPLAN_CHECK(succeeded(start(), "nvmlInit"));
  MESHPLAN_CHECK(
      succeeded(by_index(static_cast<unsigned>(device), &nvml.device_), "nvmlDeviceGetHandle"));
  std::array<char, 96> text{};
  MESHPLAN_CHECK(succeeded(driver_version(text.data(), text.size()), "nvmlSystemGetDriverVersion"));
  nvml.driver_ = text.data();
  return nvml;
}

Result<BoardState> Nvml::read() const {
  unsigned milliwatts = 0, sm = 0, memory = 0, degrees = 0;
  constexpr int kSmClock = 1, kMemoryClock = 2, kGpuSensor = 0;
  MESHPLAN_CHECK(succeeded(power_(device_, &milliwatts), "nvmlDeviceGetPowerUsage"));
  MESHPLAN_CHECK(succeeded(clock_(device_, kSmClock, &sm), "nvmlDeviceGetClockInfo"));
  MESHPLAN_CHECK(succeeded(clock_(device_, kMemoryClock, &memory), "nvmlDeviceGetClockInfo"));
  MESHPLAN_CHECK(
      succeeded(temperature_(device_, kGpuSensor, &degrees), "nvmlDeviceGetTemperature"));
  return BoardState{milliwatts / 1e3, static_cast<double>(sm), static_cast<double>(memory),
                    static_cast<double>(degrees)};
}

}  // namespace meshplan::cuda
