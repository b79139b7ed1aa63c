// SPDX-License-Identifier: Apache-2.0
#include "strategies/embedding/workload.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan::graph {
namespace {

template <class Enum, size_t n>
Result<Enum> from(const std::string& text, const std::string& where, const char* what,
                  const Enum (&all)[n]) {
  std::vector<std::string> names;
  for (const Enum one : all) {
    if (text == name_of(one)) return one;
    names.emplace_back(name_of(one));
  }
  return Diagnostic{.kind = ErrorKind::input,
                    .message = std::string("there is no such ") + what,
                    .where = where,
                    .value = text,
                    .hint = suggest(text, names)};
}

}  // namespace

const char* name_of(Operator op) {
  switch (op) {
    case Operator::none:
      return "none";
    case Operator::diagonal:
      return "diagonal";
    case Operator::translation:
      return "translation";
    case Operator::complex_diagonal:
      return "complex_diagonal";
    case Operator::linear:
      return "linear";
    case Operator::affine:
      return "affine";
  }
  return "?";
}

const char* name_of(Comparator comparator) {
  switch (comparator) {
    case Comparator::dot:
      return "dot";
    case Comparator::cos:
      return "cos";
    case Comparator::l2:
      return "l2";
    case Comparator::squared_l2:
      return "squared_l2";
  }
  return "?";
}

const char* name_of(Loss loss) {
  switch (loss) {
    case Loss::ranking:
      return "ranking";
    case Loss::logistic:
      return "logistic";
    case Loss::softmax:
      return "softmax";
  }
  return "?";
}

Result<Operator> operator_from(const std::string& text, const std::string& where) {
  constexpr Operator all[] = {Operator::none,        Operator::diagonal,
                              Operator::translation, Operator::complex_diagonal,
                              Operator::linear,      Operator::affine};
  return from(text, where, "operator", all);
}

Result<Comparator> comparator_from(const std::string& text, const std::string& where) {
  constexpr Comparator all[] = {Comparator::dot, Comparator::cos, Comparator::l2,
                                Comparator::squared_l2};
  return from(text, where, "comparator", all);
}

Result<Loss> loss_from(const std::string& text, const std::string& where) {
  constexpr Loss all[] = {Loss::ranking, Loss::logistic, Loss::softmax};
  return from(text, where, "loss", all);
}

int64_t parameters_of(Operator op, int64_t dimension) {
  switch (op) {
    case Operator::none:
      return 0;
    case Operator::diagonal:
    case Operator::translation:
    case Operator::complex_diagonal:
      return dimension;
    case Operator::linear:
      return dimension * dimension;
    case Operator::affine:
      return dimension * dimension + dimension;
  }
  return 0;
}

bool Workload::batches_mix_relations() const {
  const Operator op = relations.front().op;
  return dynamic_relations && op != Operator::linear && op != Operator::affine;
}

int64_t Workload::entity_rows() const {
  int64_t rows = 0;
  for (const EntityType& type : entities) rows += type.featurized() ? type.features : type.count;
  return rows;
}

int64_t Workload::relation_count() const {
  return dynamic_relations ? dynamic_count : static_cast<int64_t>(relations.size());
}

int64_t Workload::bytes_per_row() const { return 4 * dimension + 4; }

int64_t Workload::operator_parameters() const {
  if (dynamic_relations) return 2 * dynamic_count * parameters_of(relations.front().op, dimension);
  int64_t sum = 0;
  for (const RelationType& relation : relations) sum += parameters_of(relation.op, dimension);
  return sum;
}

}  // namespace meshplan::graph
