// SPDX-License-Identifier: Apache-2.0
#include "costmodel/profile/estimate.hpp"

namespace meshplan {

const char* name_of(Provenance provenance) {
  switch (provenance) {
    case Provenance::measured:
      return "measured";
    case Provenance::interpolated:
      return "interpolated";
    case Provenance::scaled:
      return "scaled";
    case Provenance::datasheet:
      return "datasheet";
    case Provenance::assumed:
      return "assumed";
  }
  return "?";
}

}  // namespace meshplan
