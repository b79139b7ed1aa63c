// SPDX-License-Identifier: Apache-2.0
#include "topologies/base/files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace meshplan {
namespace fs = std::filesystem;

std::string data_root() {
  if (const char* set = std::getenv("MESHPLAN_DATA"); set != nullptr && *set != '\0') return set;
  std::error_code error;
  const fs::path binary = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    const fs::path share = binary.parent_path().parent_path() / "share" / "meshplan";
    if (fs::is_directory(share / "topologies", error)) return share.string();
  }
  return MESHPLAN_SOURCE_DIR;
}

Result<std::string> read_file(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error))
    return Diagnostic{ErrorKind::input, "a folder was given where a file is needed", path};
  std::ifstream in(path, std::ios::binary);
  if (!in)
    return Diagnostic{ErrorKind::input,
                      std::string("cannot read file: ") + std::strerror(errno),
                      path,
                      {},
                      {},
                      "check the path; it is taken relative to the current folder"};
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

Status write_file(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".partial";
  {
    std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
    out << text;
    out.flush();
    if (!out) {
      const std::string reason = std::strerror(errno);
      std::error_code ignored;
      fs::remove(temporary, ignored);
      return Diagnostic{ErrorKind::input, "cannot write file: " + reason, path};
    }
  }
  std::error_code error;
  fs::rename(temporary, path, error);
  if (error) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    return Diagnostic{ErrorKind::input, "cannot write file: " + error.message(), path};
  }
  return Done{};
}

std::vector<std::string> files_in(const std::string& folder, const std::string& suffix) {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    std::string path = entry.path().string();
    if (path.size() >= suffix.size() &&
        path.compare(path.size() - suffix.size(), suffix.size(), suffix) == 0)
      found.push_back(std::move(path));
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace meshplan
