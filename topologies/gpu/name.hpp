// SPDX-License-Identifier: Apache-2.0
// Which GPU does a name mean? "NVIDIA A100-SXM4-80GB", "a100 sxm 80" and "A100-80GB" are one: the
// words of makers and spelling don't count, the memory's size only tells boards of one name apart.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace meshplan {

struct GpuName {
  std::string exact;  ///< letters and digits without maker and memory: "a100sxm4"
  std::string key;    ///< the same without the socket's version: "a100sxm"
  int memory_gb = 0;  ///< 0: not said
};

GpuName read_gpu_name(std::string_view text);

/// Does a board of `memory_bytes` carry "N GB" in its name? Makers count GB or GiB and round.
bool memory_fits(double memory_bytes, int memory_gb);

}  // namespace meshplan
