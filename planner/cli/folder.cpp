// SPDX-License-Identifier: Apache-2.0
#include "planner/cli/folder.hpp"

#include <filesystem>

#include "topologies/base/files.hpp"

namespace meshplan::cli {
namespace fs = std::filesystem;

namespace {

Status write_all(const fs::path& folder, const std::vector<launch::LaunchFile>& files) {
  for (const launch::LaunchFile& file : files) {
    const fs::path path = folder / file.name;
    MESHPLAN_CHECK(write_file(path.string(), file.text));
    std::error_code error;
    if (file.executable)
      fs::permissions(path, fs::perms::owner_exec | fs::perms::group_exec | fs::perms::others_exec,
                      fs::perm_options::add, error);
    if (error)
      return Diagnostic{ErrorKind::input, "cannot make executable: " + error.message(),
                        path.string()};
  }
  return Done{};
}

}  // namespace

Status write_folder(const std::string& folder, const std::vector<launch::LaunchFile>& files,
                    bool force) {
  std::error_code error;
  if (fs::exists(folder, error)) {
    if (!force)
      return Diagnostic{.kind = ErrorKind::usage,
                        .message = "the folder exists, and nothing is overwritten unasked",
                        .where = "--out",
                        .value = folder,
                        .hint = "another folder, or --force"};
    if (!fs::is_directory(folder, error))
      return Diagnostic{ErrorKind::input, "this is a file, not a folder", folder};
  }
  fs::path target = fs::path(folder).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();
  const fs::path partial = target.string() + ".partial";
  fs::remove_all(partial, error);
  if (!fs::create_directories(partial, error))
    return Diagnostic{ErrorKind::input, "cannot make the folder: " + error.message(), folder};
  Status status = write_all(partial, files);
  if (status.ok()) {
    if (!fs::exists(target)) {
      fs::rename(partial, target, error);
    } else {
      for (const launch::LaunchFile& file : files)
        if (!error) fs::rename(partial / file.name, target / file.name, error);
    }
    if (error)
      status = Diagnostic{ErrorKind::input, "cannot write the folder: " + error.message(), folder};
  }
  std::error_code ignored;
  fs::remove_all(partial, ignored);
  return status;
}

}  // namespace meshplan::cli
