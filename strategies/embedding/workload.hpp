// SPDX-License-Identifier: Apache-2.0
// What is to be trained? A graph of typed entities and relations, and the embedding model of it:
// one row of `dimension` values per entity, an operator per relation, a comparator, a loss.
//
// An edge (x, r, y) scores c(x, g_r(y)) (Lerer et al., PyTorch-BigGraph, arXiv 1903.12287, section
// 3). With dynamic relations there is one operator per relation and side, and each side's corrupted
// ends are scored against the other, operated end: reciprocal relations (Lacroix et al., arXiv
// 1806.07297). Symbols below: D dimension, C edges of a chunk, U uniform candidates, N = C + U.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan::graph {

enum class Operator : uint8_t { none, diagonal, translation, complex_diagonal, linear, affine };
enum class Comparator : uint8_t { dot, cos, l2, squared_l2 };
enum class Loss : uint8_t { ranking, logistic, softmax };

struct EntityType {
  std::string name;
  int64_t count = 0;          ///< 0: known after the import
  int64_t partitions = 0;     ///< 0: for the planner to choose
  std::string names_file;     ///< closed list, a name a line; an edge to another name is an error
  std::string features_file;  ///< entity, tab, its features with spaces between: the mean of their
                              ///< rows is the entity's vector
  int64_t features = 0;       ///< rows of a featurised type; 0: a row per entity
  bool featurized() const { return features > 0 || !features_file.empty(); }
};

struct RelationType {
  std::string name;
  int lhs = 0, rhs = 0;  ///< entity types
  Operator op = Operator::none;
  double weight = 1;  ///< of its edges' loss
};

/// Where edges are read from; empty where a workload is only planned.
struct GraphData {
  std::vector<std::string> train, valid, test;              ///< TSV or CSV
  int lhs_column = 0, relation_column = 1, rhs_column = 2;  ///< from 0; relation -1: none
  int weight_column = -1;                                   ///< -1: every edge weighs 1
  char separator = '\t';
};

struct Negatives {
  int64_t batch = 50;           ///< C: ends of the other edges of the chunk
  int64_t uniform = 50;         ///< U: drawn from the loaded partition
  bool lhs = true, rhs = true;  ///< sides that are corrupted
  bool other_end = false;       ///< the other end of the edge is a candidate too
  bool mask_answers = false;    ///< candidates that are the right end itself do not count
};

struct Workload {
  std::string name;
  std::vector<EntityType> entities;
  std::vector<RelationType> relations;
  bool dynamic_relations = false;  ///< the one relation is a template for `dynamic_count` relations
  int64_t dynamic_count = 0;       ///< 0: known after the import
  int64_t edges = 0;               ///< of training; 0: known after the import
  GraphData data;

  int64_t dimension = 0;
  Comparator comparator = Comparator::cos;
  Loss loss = Loss::ranking;
  double margin = 0.1;
  double n3 = 0;  ///< coefficient of the sum of cubed moduli
  double init_scale = 1e-3;
  double operator_init_scale = 0;  ///< of normal deviates; 0: operators begin as identities
  double max_norm = 0;             ///< 0: none
  bool global_embedding = false;
  bool bias = false;  ///< the first coordinate is a bias

  Negatives negatives;
  int64_t batch = 1000;  ///< edges between two updates of a row
  double learning_rate = 0.01;
  double relation_learning_rate = 0;  ///< 0: learning_rate
  int64_t epochs = 1;
  int64_t passes_per_epoch = 1;  ///< edge chunks: every bucket is met so often in an epoch

  double relation_rate() const {
    return relation_learning_rate > 0 ? relation_learning_rate : learning_rate;
  }
  /// One batch holds edges of several relations; else batches are cut from one relation's edges.
  bool batches_mix_relations() const;
  int64_t entity_rows() const;          ///< of all types
  int64_t relation_count() const;       ///< dynamic ones, or the types
  int64_t bytes_per_row() const;        ///< fp32 values and the row's Adagrad sum
  int64_t operator_parameters() const;  ///< of the whole model, fp32 values
};

/// fp32 values of one relation's operator on one side.
int64_t parameters_of(Operator op, int64_t dimension);

/// A YAML file of a graph workload. Errors: input, with file, line, key and nearest name.
Result<Workload> read_workload(const std::string& path);
Result<Workload> parse_workload(const std::string& text, const std::string& name);
/// As a workload file that states every key; parse_workload gives the same back.
std::string to_yaml(const Workload& workload);

/// Rules between the values (an even dimension for complex_diagonal, ...). Error (input).
Status check(const Workload& workload, const std::string& where);

/// Does this file look like a graph workload (an `entities` mapping at the top)?
bool is_workload_file(const std::string& path);

const char* name_of(Operator op);
const char* name_of(Comparator comparator);
const char* name_of(Loss loss);
Result<Operator> operator_from(const std::string& text, const std::string& where);
Result<Comparator> comparator_from(const std::string& text, const std::string& where);
Result<Loss> loss_from(const std::string& text, const std::string& where);

}  // namespace meshplan::graph
