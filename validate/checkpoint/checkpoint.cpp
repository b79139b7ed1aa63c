// SPDX-License-Identifier: Apache-2.0
#include "validate/checkpoint/checkpoint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "topologies/base/files.hpp"

namespace meshplan {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kManifest = "checkpoint.json";
constexpr const char* kSchema = "meshplan.checkpoint/1";

Diagnostic bad(const std::string& path, const std::string& message) {
  return {.kind = ErrorKind::input, .message = message, .where = path};
}

const char* suffix_of(Kept what) {
  switch (what) {
    case Kept::weight:
      return ".weight";
    case Kept::moment1:
      return ".moment1";
    case Kept::moment2:
      return ".moment2";
  }
  return "";
}

Json to_json(const TensorPart& part, const std::string& entry, const FlatRange& range) {
  return {{"entry", entry},
          {"tensor", part.tensor},
          {"whole", {part.tensor_rows, part.tensor_cols}},
          {"first", {part.first_row, part.first_col}},
          {"size", {part.rows, part.cols}},
          {"flat_offset", part.flat_offset},
          {"range", {range.begin, range.count}}};
}

/// This rank's file: copies of shards that other ranks hold too are left to the first of them.
Status write_rank(RankRun& run, const std::string& path) {
  std::vector<TensorOut> tensors;
  std::deque<std::vector<float>> values;  // the tensors refer to them
  Json parts = Json::array();
  const RankPlace& place = run.env().place();
  size_t number = 0;
  for (StageRunner::Instance* instance : run.stage().instances()) {
    const BlockState& state = instance->state;
    const Block& block = state.block();
    for (size_t f = 0; f < block.states.size(); ++f, ++number) {
      const FlatState& flat = block.states[f];
      if (place.index(flat.replicate) != 0) continue;
      const FlatRange own = own_range(flat, place);
      const std::string entry = std::to_string(number);
      for (const auto& [what, from] : {std::pair{Kept::weight, state.master(flat)},
                                       {Kept::moment1, state.at(flat.moment1)},
                                       {Kept::moment2, state.at(flat.moment2)}}) {
        values.emplace_back(static_cast<size_t>(own.count));
        MESHPLAN_CHECK(get(run.env().device(), from, values.back()));
        tensors.push_back({entry + suffix_of(what), {own.count}, values.back()});
      }
      for (const TensorPart& part : state.parts(f)) parts.push_back(to_json(part, entry, own));
    }
  }
  return write_safetensors(path, tensors, {{"parts", parts.dump()}});
}

std::string rank_file(int rank) { return fmt::format("rank-{:05}.safetensors", rank); }

Status write_manifest(const std::string& folder, int64_t next_step, int ranks) {
  Json files = Json::object();
  for (int r = 0; r < ranks; ++r) {
    std::error_code failed;
    const auto size = fs::file_size(folder + "/" + rank_file(r), failed);
    if (failed) return bad(folder + "/" + rank_file(r), failed.message());
    files[rank_file(r)] = size;
  }
  const Json manifest = {{"schema", kSchema}, {"next_step", next_step}, {"bytes", files}};
  return write_file(folder + "/" + kManifest, manifest.dump(2) + "\n");
}

}  // namespace

Status save_checkpoint(World& world, RankRun& run, const std::string& folder) {
  const std::string path = fmt::format("{}/step-{:08}", folder, run.next_step());
  const std::string building = path + ".tmp";
  std::vector<int> everyone(static_cast<size_t>(world.size()));
  std::iota(everyone.begin(), everyone.end(), 0);
  MESHPLAN_TRY(const std::unique_ptr<Communicator> group, world.group(everyone, kCheckpointLabel));
  std::error_code failed;
  if (world.rank() == 0) {
    fs::remove_all(building, failed);
    fs::create_directories(building, failed);
    if (failed) return bad(building, failed.message());
  }
  MESHPLAN_CHECK(group->barrier());
  MESHPLAN_CHECK(write_rank(run, building + "/" + rank_file(world.rank())));
  MESHPLAN_CHECK(group->barrier());
  if (world.rank() == 0) {
    MESHPLAN_CHECK(write_manifest(building, run.next_step(), world.size()));
    fs::remove_all(path, failed);
    fs::rename(building, path, failed);
    if (failed) return bad(path, failed.message());
  }
  return group->barrier();
}

Result<Checkpoint> Checkpoint::open(const std::string& path) {
  Checkpoint out;
  out.path_ = path;
  MESHPLAN_TRY(const std::string text, read_file(path + "/" + kManifest));
  const Json manifest = Json::parse(text, nullptr, false);
  try {
    if (manifest.at("schema") != kSchema) return bad(path, "this is no checkpoint of ours");
    out.next_step_ = manifest.at("next_step").get<int64_t>();
    for (const auto& [name, bytes] : manifest.at("bytes").items()) {
      const std::string file_path = fmt::format("{}/{}", path, name);
      std::error_code failed;
      const auto size = fs::file_size(file_path, failed);
      if (failed) return bad(file_path, failed.message());
      if (size != bytes.get<uint64_t>()) {
        return bad(file_path,
                   fmt::format("the file is truncated or altered: {} bytes, {} were written", size,
                               bytes.get<uint64_t>()));
      }
      MESHPLAN_TRY(SafetensorsFile file, SafetensorsFile::open(file_path));
      for (const Json& entry : Json::parse(file.metadata().at("parts"))) {
        TensorPart part;
        part.tensor = entry.at("tensor").get<std::string>();
        part.tensor_rows = entry.at("whole").at(0).get<int64_t>();
        part.tensor_cols = entry.at("whole").at(1).get<int64_t>();
        part.first_row = entry.at("first").at(0).get<int64_t>();
        part.first_col = entry.at("first").at(1).get<int64_t>();
        part.rows = entry.at("size").at(0).get<int64_t>();
        part.cols = entry.at("size").at(1).get<int64_t>();
        part.flat_offset = entry.at("flat_offset").get<int64_t>();
        const FlatRange range{entry.at("range").at(0).get<int64_t>(),
                              entry.at("range").at(1).get<int64_t>()};
        out.saved_[part.tensor].push_back(
            {out.files_.size(), entry.at("entry").get<std::string>(), part, range});
      }
      out.files_.push_back(std::move(file));
    }
  } catch (const std::exception&) {
    return bad(path, "the checkpoint's description is damaged");
  }
  return out;
}

/// Copies what the files hold of a piece of one row; how many elements that were.
Result<int64_t> Checkpoint::copy_row(Kept what, const std::string& tensor, int64_t row,
                                     int64_t first_col, int64_t cols, float* data) const {
  const auto found = saved_.find(tensor);
  int64_t copied = 0;
  if (found == saved_.end()) return copied;
  for (const Saved& saved : found->second) {
    const TensorPart& part = saved.part;
    if (row < part.first_row || row >= part.first_row + part.rows) continue;
    // columns of the row that this rank's flat, and its shard of it, hold
    const int64_t line = part.flat_offset + (row - part.first_row) * part.cols;
    int64_t begin = std::max(first_col + copied, part.first_col);
    begin = std::max(begin, part.first_col + saved.range.begin - line);
    int64_t end = std::min(first_col + cols, part.first_col + part.cols);
    end = std::min(end, part.first_col + saved.range.begin + saved.range.count - line);
    if (begin != first_col + copied || begin >= end) continue;
    const int64_t at = line + begin - part.first_col - saved.range.begin;
    MESHPLAN_CHECK(
        files_[saved.file].read(saved.entry + suffix_of(what), at, end - begin, data + copied));
    copied += end - begin;
    if (copied == cols) break;
  }
  return copied;
}

Status Checkpoint::fill(Kept what, const TensorPart& part, const FlatRange& range,
                        float* data) const {
  Status status = Done{};
  for_each_run(part, range, [&](int64_t element, int64_t offset, int64_t count) {
    while (status.ok() && count > 0) {
      const int64_t row = element / part.tensor_cols;
      const int64_t col = element % part.tensor_cols;
      const int64_t cols = std::min(count, part.tensor_cols - col);
      int64_t done = 0;
      while (status.ok() && done < cols) {  // a row may lie in several shards
        const Result<int64_t> copied =
            copy_row(what, part.tensor, row, col + done, cols - done, data + offset + done);
        if (!copied.ok()) {
          status = copied.error();
        } else if (*copied == 0) {
          status = Diagnostic{.kind = ErrorKind::input,
                              .message = "the checkpoint lacks a part of a tensor",
                              .where = path_,
                              .value = part.tensor};
        } else {
          done += *copied;
        }
      }
      element += cols;
      offset += cols;
      count -= cols;
    }
  });
  return status;
}

Status Checkpoint::fill(const TensorPart& part, const FlatRange& range, float* data) const {
  return fill(Kept::weight, part, range, data);
}

Status Checkpoint::restore(RankRun& run) const {
  run.set_next_step(next_step_);
  // a flat is put back whole: its parts cover all of it but the padding, which is 0
  for (StageRunner::Instance* instance : run.stage().instances()) {
    const BlockState& state = instance->state;
    for (size_t f = 0; f < state.block().states.size(); ++f) {
      const FlatState& flat = state.block().states[f];
      const FlatRange own = own_range(flat, run.env().place());
      for (const auto& [what, to] : {std::pair{Kept::moment1, state.at(flat.moment1)},
                                     {Kept::moment2, state.at(flat.moment2)}}) {
        std::vector<float> values(static_cast<size_t>(own.count), 0.0F);
        for (const TensorPart& part : state.parts(f)) {
          MESHPLAN_CHECK(fill(what, part, own, values.data()));
        }
        MESHPLAN_CHECK(put(run.env().device(), values, to));
      }
    }
  }
  return Done{};
}

Result<LatestCheckpoint> latest_checkpoint(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("step-", 0) == 0) names.push_back(name);
  }
  if (failed) return bad(folder, failed.message());
  std::sort(names.rbegin(), names.rend());
  LatestCheckpoint out;
  for (const std::string& name : names) {
    const std::string path = fmt::format("{}/{}", folder, name);
    if (name.size() > 4 && name.compare(name.size() - 4, 4, ".tmp") == 0) {
      out.skipped.push_back(path + ": was not finished");
      continue;
    }
    const Result<Checkpoint> checkpoint = Checkpoint::open(path);
    if (checkpoint.ok()) {
      out.path = path;
      return out;
    }
    out.skipped.push_back(checkpoint.error().where + ": " + checkpoint.error().message);
  }
  Diagnostic error = bad(folder, "there is no complete checkpoint");
  error.notes = out.skipped;
  return error;
}

}  // namespace meshplan
