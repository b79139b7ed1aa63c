// SPDX-License-Identifier: Apache-2.0
// How do embeddings move to PyTorch-BigGraph and back? Its files of entities and of a checkpoint,
// as graph_storages.py, checkpoint_storage.py and model.py of its version 1.0 lay them out.
//
//   ENTITIES/entity_count_TYPE_PART.txt, entity_names_TYPE_PART.json, dynamic_rel_count.txt,
//            dynamic_rel_names.json
//   CHECKPOINT/checkpoint_version.txt, embeddings_TYPE_PART.vN.h5, model.vN.h5
//
// What its optimizers remember is a pickle of Python, which is neither written nor read: sums of
// squared gradients begin at zero on the other side.
#pragma once
#include "validate/embedding/export.hpp"

namespace meshplan::graph {

struct PbgFolders {
  std::string entities, checkpoint;
};
/// Where `launch pbg` has its configuration look in a folder.
PbgFolders pbg_folders(const std::string& folder);

/// The trained rows and operators, cut into `partitions` as a plan cuts them, as version 1.
/// Errors (input): the system's; a type with features; (missing) built without HDF5.
Status write_pbg_state(const Trained& trained, int partitions, const PbgFolders& folders);

struct PbgRead {
  int64_t version = 0;
  int64_t rows = 0;     ///< that were taken over, by name
  int64_t unknown = 0;  ///< of the checkpoint, which the graph does not have
  int64_t missing = 0;  ///< of the graph, which the checkpoint does not have: they stay as they are
  int64_t relations = 0;
};

/// Rows of the newest version into `tables` (whole tables by entity type) and operators into
/// `parameters`, both matched by name; typed relations by their place. Errors (input): missing or
/// damaged files, another dimension or operator; (missing) built without HDF5.
Result<PbgRead> read_pbg_state(const Workload& workload, const Graph& graph,
                               const PbgFolders& folders, std::vector<Table>& tables,
                               SharedParameters& parameters);

}  // namespace meshplan::graph
