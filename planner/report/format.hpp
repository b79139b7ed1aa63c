// SPDX-License-Identifier: Apache-2.0
// How is a number written for people? Three significant digits, a unit, thousands separated. JSON
// takes the full value instead.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace meshplan::report {

/// "0.123", "12.3", "123", "1,230": at least `digits` significant digits, never an exponent from
/// 1e-4 to 1e15.
std::string significant(double value, int digits = 3);
std::string grouped(int64_t value);               ///< "16,384"
std::string gib(double bytes);                    ///< "79.1 GiB"; MiB and below when smaller
std::string seconds(double value);                ///< "5.21 s", "12.3 ms", "4.50 us"
std::string percent(double share);                ///< 0.416 -> "41.6 %"
std::string count(double value);                  ///< "405.9 B" (1e9), "16.8 M", "512"
std::string gb_per_s(double bytes_per_s);         ///< "450 GB/s" (1e9)
std::string tflops(double flops_per_s);           ///< "989 TFLOP/s"
std::string plural(int64_t n, const char* word);  ///< "1 layer", "2 layers", "2 batches"

/// Breaks at blanks so that no line exceeds `width`; later lines begin with `indent` blanks. The
/// first line is taken to start at column `indent`.
std::string wrapped(const std::string& text, int indent, int width = 100);

}  // namespace meshplan::report
