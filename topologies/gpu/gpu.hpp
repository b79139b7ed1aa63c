// SPDX-License-Identifier: Apache-2.0
// What can one accelerator do? Peak arithmetic, memory, links and power of each bundled variant.
//
// Facts are data: topologies/data/gpus/<id>.yaml, one file a variant, unit in every key. Rates are
// per second and one direction; what is achieved in practice belongs to costmodel.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "topologies/base/dtype.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

struct Gpu {
  std::string id;                    ///< canonical, e.g. "h100-sxm5-80gb"; names the file
  std::string name;                  ///< as the vendor prints it
  std::vector<std::string> aliases;  ///< from topologies/data/gpu-aliases.yaml
  std::string family;  ///< pascal to blackwell, cdna to cdna4, xe-hpc, gaudi, tpu, trainium, ascend
  double compute_capability = 0;
  int sm_count = 0;

  double fp32_flops_per_s = 0;  ///< vector units; the tensor rates below are dense
  double tf32_flops_per_s = 0;
  double fp16_flops_per_s = 0;
  double bf16_flops_per_s = 0;
  double fp8_flops_per_s = 0;
  double fp4_flops_per_s = 0;

  /// Best rates measured where the data sheet's are out of reach; 0: the kernel table's share.
  double product_flops_per_s = 0;  ///< of large 16-bit products
  double stream_bytes_per_s = 0;   ///< of memory, by a triad or copy

  int64_t memory_bytes = 0;         ///< as the driver reports the whole board
  int64_t memory_usable_bytes = 0;  ///< what a process can allocate, CUDA context included
  double memory_bytes_per_s = 0;
  int64_t l2_bytes = 0;

  double nvlink_bytes_per_s =
      0;                        ///< all links of one GPU, per direction; 0: none; xGMI, Xe Link too
  double pcie_bytes_per_s = 0;  ///< per direction
  double c2c_bytes_per_s = 0;   ///< to the host CPU by NVLink-C2C, per direction; 0: none

  double power_limit_w = 0;
  double idle_power_w = 0;

  std::string kernel_table;      ///< id of the measured kernels that stand for this GPU
  std::string collective_table;  ///< same for collectives inside a node
  std::string cluster;           ///< bundled cluster whose node and fabric `64x8x<gpu>` takes
  std::string cluster_of_4;      ///< same where nodes have 4 GPUs and another wiring; may be empty
  std::string source;
  std::vector<std::string> assumed;  ///< "key: why this figure is no published one"

  /// Dense peak of matrix products in `type`; 0 if the hardware has no such product.
  double peak_flops_per_s(DType type) const;
};

/// By id, alias or another spelling of them (name.hpp), or a path that ends in .yaml.
/// ErrorKind::usage with the nearest name otherwise.
Result<Gpu> find_gpu(const std::string& text);

/// All bundled GPUs, sorted by id.
Result<std::vector<Gpu>> all_gpus();

/// Ids of all bundled GPUs, sorted, without reading a file.
std::vector<std::string> gpu_ids();

/// One file. Error (input) with file and line.
Result<Gpu> read_gpu(const std::string& path);

}  // namespace meshplan
