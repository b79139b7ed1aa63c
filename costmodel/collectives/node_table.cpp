// SPDX-License-Identifier: Apache-2.0
#include "costmodel/collectives/node_table.hpp"

#include <algorithm>
#include <cmath>

#include "costmodel/profile/csv.hpp"

namespace meshplan {
namespace {

// Tables that start at 1 MiB: NCCL's ring LL latency, 6.6 us and 0.6 us a step, times 1.3 as
// measured on A100.
constexpr double kUnknownBase = 1.3 * 6.6e-6, kUnknownStep = 1.3 * 0.6e-6;
constexpr double kSmall = 1 << 16;

}  // namespace

double bus_factor(CollectiveOp op, int64_t ranks) {
  const auto n = static_cast<double>(ranks);
  switch (op) {
    case CollectiveOp::all_reduce:
      return 2 * (n - 1) / n;
    case CollectiveOp::all_gather:
    case CollectiveOp::reduce_scatter:
    case CollectiveOp::all_to_all:
      return (n - 1) / n;
    case CollectiveOp::ring_exchange:
      return 1;
  }
  return 1;
}

Result<NodeTable> NodeTable::read(const std::string& path) {
  MESHPLAN_TRY(const Csv csv, Csv::read(path));
  NodeTable out;
  for (size_t row = 0; row < csv.rows(); ++row) {
    Key key = {CollectiveOp::all_reduce, static_cast<int64_t>(csv.number(row, 1))};
    const std::string_view op = csv.text(row, 0);
    if (op == "all_gather") key.op = CollectiveOp::all_gather;
    if (op == "reduce_scatter") key.op = CollectiveOp::reduce_scatter;
    if (op == "all_to_all") key.op = CollectiveOp::all_to_all;
    Curve& curve = out.curves_[key];
    const double bytes = csv.number(row, 2), seconds = csv.number(row, 3) * 1e-6;
    if (!(bytes > 0 && seconds > 0) || (!curve.bytes.empty() && bytes <= curve.bytes.back()))
      return Diagnostic{ErrorKind::input, "sizes must ascend and times be positive",
                        path + ": row " + std::to_string(row + 1)};
    // Small sizes jitter by 10-50 %: a larger message never takes less.
    curve.bytes.push_back(bytes);
    curve.seconds.push_back(curve.seconds.empty() ? seconds
                                                  : std::max(seconds, curve.seconds.back()));
  }
  if (out.curves_.empty()) return Diagnostic{ErrorKind::input, "table without a row", path};
  for (auto& [key, curve] : out.curves_) {
    const double steps = key.op == CollectiveOp::all_reduce ? 2 : 1;
    const double unknown = kUnknownBase + kUnknownStep * steps * static_cast<double>(key.ranks - 1);
    curve.latency_s = curve.bytes.front() <= kSmall ? curve.seconds.front()
                                                    : std::min(unknown, curve.seconds.front());
  }
  return out;
}

NodeTable::Time NodeTable::on_curve(const Curve& curve, double bytes) const {
  Time out;
  out.latency_s = curve.latency_s;
  const auto& x = curve.bytes;
  const auto& y = curve.seconds;
  if (bytes <= x.front()) {
    out.seconds = curve.latency_s + (y.front() - curve.latency_s) * bytes / x.front();
    out.exact = bytes == x.front();
    return out;
  }
  if (bytes >= x.back()) {
    out.seconds = curve.latency_s + (y.back() - curve.latency_s) * bytes / x.back();
    out.exact = bytes == x.back();
    out.extended = !out.exact;
    return out;
  }
  const auto i = static_cast<size_t>(std::upper_bound(x.begin(), x.end(), bytes) - x.begin()) - 1;
  out.exact = bytes == x[i];
  const double w = std::log(bytes / x[i]) / std::log(x[i + 1] / x[i]);
  out.seconds = y[i] * std::pow(y[i + 1] / y[i], w);
  return out;
}

NodeTable::Time NodeTable::time(CollectiveOp op, int64_t ranks, double bytes) const {
  if (ranks <= 1) return {0, 0, true, false};
  auto first = curves_.lower_bound({op, 0});
  if (first == curves_.end() || first->first.op != op) {
    // Only all-reduce was measured. It is a reduce-scatter and an all-gather of the same bytes, and
    // an all-to-all moves as much per link as either.
    Time out = time(CollectiveOp::all_reduce, ranks, bytes);
    out.seconds /= 2, out.latency_s /= 2;
    out.exact = false, out.extended = true;
    return out;
  }
  const auto upper = curves_.lower_bound({op, ranks});
  if (upper != curves_.end() && upper->first.op == op) {
    const Time above = on_curve(upper->second, bytes);
    if (upper->first.ranks == ranks || upper == first) return above;
    const auto lower = std::prev(upper);
    const Time below = on_curve(lower->second, bytes);
    const auto a = static_cast<double>(lower->first.ranks);
    const auto b = static_cast<double>(upper->first.ranks);
    const double w = (static_cast<double>(ranks) - a) / (b - a);
    // Per byte on the link: linear in the rank count for latency, harmonic for bandwidth.
    const double f = bus_factor(op, ranks);
    const double fa = bus_factor(op, lower->first.ranks), fb = bus_factor(op, upper->first.ranks);
    Time out;
    out.seconds = f * ((1 - w) * below.seconds / fa + w * above.seconds / fb);
    out.latency_s = f * ((1 - w) * below.latency_s / fa + w * above.latency_s / fb);
    return out;
  }
  // More ranks than measured: same bus bandwidth; latency grows with the logarithm (all-reduce:
  // tree, NVLS) or with the count (rings, pairs) as between the two largest counts.
  const auto last = std::prev(upper);
  Time out = on_curve(last->second, bytes);
  const auto top = static_cast<double>(last->first.ranks);
  const auto n = static_cast<double>(ranks);
  double growth = 0;
  if (last != first) {
    const auto before = std::prev(last);
    const double rise = std::max(0.0, last->second.latency_s - before->second.latency_s);
    const auto low = static_cast<double>(before->first.ranks);
    growth = op == CollectiveOp::all_reduce ? rise * std::log(n / top) / std::log(top / low)
                                            : rise * (n - top) / (top - low);
  } else {
    growth = (op == CollectiveOp::all_reduce ? 2 : 1) * kUnknownStep * (n - top);
  }
  const double f = bus_factor(op, ranks) / bus_factor(op, last->first.ranks);
  out.seconds = out.latency_s + growth + (out.seconds - out.latency_s) * f;
  out.latency_s += growth;
  out.exact = false;
  out.extended = true;
  return out;
}

std::vector<double> NodeTable::leave_one_out() const {
  std::vector<double> out;
  for (const auto& [key, curve] : curves_)
    for (size_t i = 1; i + 1 < curve.bytes.size(); ++i) {
      const double w = std::log(curve.bytes[i] / curve.bytes[i - 1]) /
                       std::log(curve.bytes[i + 1] / curve.bytes[i - 1]);
      const double guess =
          curve.seconds[i - 1] * std::pow(curve.seconds[i + 1] / curve.seconds[i - 1], w);
      out.push_back(std::abs(guess / curve.seconds[i] - 1));
    }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace meshplan
