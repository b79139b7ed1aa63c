// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/pbg/h5_file.hpp"

#include <fmt/format.h>
#include <hdf5.h>

namespace meshplan::graph {
namespace {

/// An identifier of the library with the call that gives it back.
class Id {
 public:
  Id(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  ~Id() {
    if (id_ >= 0) close_(id_);
  }
  Id(const Id&) = delete;
  Id& operator=(const Id&) = delete;
  operator hid_t() const { return id_; }  // NOLINT: as the library takes it
  bool ok() const { return id_ >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

std::string words(const std::vector<int64_t>& shape) {
  std::string out;
  for (const int64_t n : shape) out += fmt::format("{}{}", out.empty() ? "" : " x ", n);
  return out;
}

/// Errors come back as codes; the library is not to print them.
void be_quiet() { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

/// What failed is said by our own errors; the library keeps its own, with copies of texts, per
/// thread.
Diagnostic failed(const char* message, const std::string& path, const std::string& value = "") {
  H5Eclear2(H5E_DEFAULT);
  return {.kind = ErrorKind::input, .message = message, .where = path, .value = value};
}

Id open_object(hid_t file, const std::string& name) {
  return {H5Oopen(file, name.c_str(), H5P_DEFAULT), H5Oclose};
}

}  // namespace

struct H5File::Handle {
  hid_t id;
  explicit Handle(hid_t file) : id(file) {}
  ~Handle() {
    if (id >= 0) H5Fclose(id);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

bool H5File::available() { return true; }

Diagnostic H5File::error(const char* message, const std::string& name) const {
  return failed(message, path_, name);
}

Result<H5File> H5File::create(const std::string& path) {
  be_quiet();
  const hid_t id = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  if (id < 0) return failed("cannot write the HDF5 file", path);
  return H5File(path, std::make_shared<Handle>(id));
}

Result<H5File> H5File::open(const std::string& path) {
  be_quiet();
  const hid_t id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  if (id < 0) return failed("there is no such HDF5 file, or it is damaged", path);
  return H5File(path, std::make_shared<Handle>(id));
}

Status H5File::write(const std::string& name, const std::vector<int64_t>& shape,
                     const float* values) {
  const std::vector<hsize_t> sizes(shape.begin(), shape.end());
  const Id space(H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr), H5Sclose);
  const Id links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(links, 1);
  const Id data(
      H5Dcreate2(file_->id, name.c_str(), H5T_IEEE_F32LE, space, links, H5P_DEFAULT, H5P_DEFAULT),
      H5Dclose);
  if (!data.ok() || H5Dwrite(data, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
    return error("cannot write the array", name);
  return Done{};
}

Status H5File::set_number(const std::string& object, const std::string& key, int64_t value) {
  const Id on = open_object(file_->id, object);
  const Id space(H5Screate(H5S_SCALAR), H5Sclose);
  const Id attribute(H5Acreate2(on, key.c_str(), H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT),
                     H5Aclose);
  if (!attribute.ok() || H5Awrite(attribute, H5T_NATIVE_INT64, &value) < 0)
    return error("cannot write the attribute", key);
  return Done{};
}

Status H5File::set_text(const std::string& object, const std::string& key,
                        const std::string& value) {
  const Id on = open_object(file_->id, object);
  const Id space(H5Screate(H5S_SCALAR), H5Sclose);
  const Id type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  const Id attribute(H5Acreate2(on, key.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  const char* text = value.c_str();
  if (!attribute.ok() || H5Awrite(attribute, type, &text) < 0)
    return error("cannot write the attribute", key);
  return Done{};
}

bool H5File::has(const std::string& name) const {
  for (size_t at = name.find('/'); at != std::string::npos; at = name.find('/', at + 1))
    if (H5Lexists(file_->id, name.substr(0, at).c_str(), H5P_DEFAULT) <= 0) return false;
  return H5Lexists(file_->id, name.c_str(), H5P_DEFAULT) > 0;
}

Result<int64_t> H5File::number(const std::string& object, const std::string& key) const {
  const Id on = open_object(file_->id, object);
  const Id attribute(H5Aopen(on, key.c_str(), H5P_DEFAULT), H5Aclose);
  int64_t value = 0;
  if (!attribute.ok() || H5Aread(attribute, H5T_NATIVE_INT64, &value) < 0)
    return error("the file lacks an attribute", key);
  return value;
}

Result<std::vector<int64_t>> H5File::shape(const std::string& name) const {
  if (!has(name)) return error("the file lacks an array", name);
  const Id data(H5Dopen2(file_->id, name.c_str(), H5P_DEFAULT), H5Dclose);
  const Id space(H5Dget_space(data), H5Sclose);
  const int rank = H5Sget_simple_extent_ndims(space);
  if (rank < 0) return error("the file lacks an array", name);
  std::vector<hsize_t> sizes(static_cast<size_t>(rank));
  H5Sget_simple_extent_dims(space, sizes.data(), nullptr);
  return std::vector<int64_t>(sizes.begin(), sizes.end());
}

Status H5File::read(const std::string& name, const std::vector<int64_t>& wanted,
                    float* values) const {
  MESHPLAN_TRY(const std::vector<int64_t> found, shape(name));
  if (found != wanted) {
    Diagnostic wrong = error("the array has another shape", name + ": " + words(found));
    wrong.hint = words(wanted);
    return wrong;
  }
  const Id data(H5Dopen2(file_->id, name.c_str(), H5P_DEFAULT), H5Dclose);
  if (H5Dread(data, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
    return error("cannot read the array", name);
  return Done{};
}

Status H5File::close() {
  const hid_t id = file_->id;
  file_->id = -1;
  if (H5Fclose(id) >= 0) return Done{};
  return failed("cannot write the HDF5 file", path_);
}

}  // namespace meshplan::graph
