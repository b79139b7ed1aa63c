// SPDX-License-Identifier: Apache-2.0
// How is a report written as one HTML file that opens without a network?
//
// Tables always; charts are drawn from the same numbers by Chart.js, which the build puts into the
// binary where Debian's libjs-chart.js is installed. Without it, and without script, the tables
// stand alone. Light and dark follow the reader's system.
#pragma once
#include <string>
#include <vector>

namespace meshplan::page {

std::string escaped(const std::string& text);

struct Table {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;  ///< plain text; the first column is the row's name
};
std::string to_html(const Table& table);

struct Series {
  struct Point {
    double x = 0, y = 0;
    double low = 0, high = 0;  ///< equal: no band
    std::string label;         ///< beside the values when pointed at
  };
  std::string name;
  std::vector<Point> points;
  bool line = true;     ///< else dots
  bool dashed = false;  ///< what the others are compared with
  int color = -1;       ///< number of its colour; -1: as it comes
};

struct Chart {
  std::string title;
  std::string about;  ///< one sentence below the title
  std::string x, y;   ///< with unit
  bool log_x = false, log_y = false;
  std::vector<Series> series;
  Table table;  ///< the same numbers
};
/// A figure: canvas, its numbers, its table (folded once a script runs).
std::string to_html(const Chart& chart);

/// The whole file around `body`, with the script only where `body` has charts.
std::string document(const std::string& title, const std::string& body);
/// Is Chart.js part of this build?
bool has_charts();

}  // namespace meshplan::page
