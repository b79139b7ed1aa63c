// SPDX-License-Identifier: Apache-2.0
// Stands for h5_file.cpp where libhdf5 was not found when meshplan was built.
#include "validate/embedding/pbg/h5_file.hpp"

namespace meshplan::graph {
namespace {

Diagnostic absent(const std::string& where) {
  return {.kind = ErrorKind::missing,
          .message = "meshplan was built without HDF5, which PyTorch-BigGraph's checkpoints are in",
          .where = where,
          .hint = "on Debian: apt-get install libhdf5-dev, then build again"};
}

}  // namespace

struct H5File::Handle {};

bool H5File::available() { return false; }
Diagnostic H5File::error(const char*, const std::string&) const { return absent(path_); }
Result<H5File> H5File::create(const std::string& path) { return absent(path); }
Result<H5File> H5File::open(const std::string& path) { return absent(path); }
Status H5File::write(const std::string&, const std::vector<int64_t>&, const float*) {
  return absent(path_);
}
Status H5File::set_number(const std::string&, const std::string&, int64_t) { return absent(path_); }
Status H5File::set_text(const std::string&, const std::string&, const std::string&) {
  return absent(path_);
}
bool H5File::has(const std::string&) const { return false; }
Result<int64_t> H5File::number(const std::string&, const std::string&) const {
  return absent(path_);
}
Result<std::vector<int64_t>> H5File::shape(const std::string&) const { return absent(path_); }
Status H5File::read(const std::string&, const std::vector<int64_t>&, float*) const {
  return absent(path_);
}
Status H5File::close() { return absent(path_); }

}  // namespace meshplan::graph
