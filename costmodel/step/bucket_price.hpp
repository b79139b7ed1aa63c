// SPDX-License-Identifier: Apache-2.0
// How long does a GPU take for the edges of one bucket?
#pragma once
#include "costmodel/step/op_price.hpp"

namespace meshplan {

/// The three parts of a batch follow each other: operands of the products are gathered rows, the
/// losses are taken from the products' scores, gradients are scattered back.
struct BucketPrice {
  double products_s = 0;  ///< scores, gradients of queries and of candidates: 12 N D FLOP an edge
  double scores_s = 0;    ///< losses, operators
  double rows_s = 0;      ///< gathered, merged, stepped by row-wise Adagrad
  double small_s = 0;     ///< kernels that no batch is too small for, and gaps between all
  double kernels = 0;     ///< launches by the host
  double seconds() const { return products_s + scores_s + rows_s + small_s; }
};
BucketPrice bucket_price(const BucketStep& step, const PriceContext& context);

}  // namespace meshplan
