// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "profiler/cuda/attention.hpp"

namespace meshplan::cuda {

bool cudnn_takes(const cpu::AttentionShape& shape, DType type) {
  return type == DType::bf16 && shape.head_dim == shape.head_dim_v && shape.head_dim % 8 == 0 &&
         shape.head_dim <= 128 && shape.q_len <= shape.kv_len && shape.kv_parts == 1 &&
         shape.window == 0 && shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0;
}

DescribedGpu described_hopper(int sms) {
  const nlohmann::json description = {{"maxGridSize", {2147483647, 65535, 65535}},
                                      {"maxBlockSize", {1024, 1024, 64}},
                                      {"regsPerBlock", 65536},
                                      {"multiProcessorCount", sms},
                                      {"warpSize", 32},
                                      {"maxSharedMemoryPerBlock", 49152},
                                      {"maxSharedMemoryPerBlockOptin", 232448},
                                      {"maxSharedMemoryPerSM", 233472},
                                      {"reservedSharedMemoryPerBlock", 1024},
                                      {"maxRegistersPerSM", 65536},
                                      {"maxCtasPerSM", 32},
                                      {"maxThreadsPerBlock", 1024},
                                      {"maxThreadsPerSM", 2048},
                                      {"pciDeviceId", 0},
                                      {"isTccDriver", 0},
                                      {"supportCoopLaunch", 1},
                                      {"smClockRateKHz", 1980000},
                                      {"memClockRateKHz", 2619000},
                                      {"l2CacheSize", 52428800},
                                      {"deviceVer", 900},
                                      {"driverVer", 13000},
                                      {"cudaDeviceId", 0},
                                      {"totalGlobalMem", 84000000000},
                                      {"deviceName", "Hopper"}};
  return {description.dump(), 90};
}

}  // namespace meshplan::cuda
