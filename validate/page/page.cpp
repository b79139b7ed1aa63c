// SPDX-License-Identifier: Apache-2.0
#include "validate/page/page.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "validate/page/assets.hpp"

namespace meshplan::page {
namespace {

std::string put(std::string text, const std::string& mark, const std::string& value) {
  const size_t at = text.find(mark);
  return at == std::string::npos ? text : text.replace(at, mark.size(), value);
}

/// Numbers to six digits: more than a chart shows, and the file stays small.
nlohmann::ordered_json shown(double value) {
  return nlohmann::ordered_json::parse(fmt::format("{:.6g}", value), nullptr, false);
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string to_html(const Table& table) {
  const auto line = [](const std::vector<std::string>& cells, const char* tag) {
    std::string out = "<tr>";
    for (const auto& cell : cells) out += fmt::format("<{0}>{1}</{0}>", tag, escaped(cell));
    return out + "</tr>\n";
  };
  std::string out =
      "<div class=\"wide\"><table>\n<thead>" + line(table.header, "th") + "</thead>\n";
  for (const auto& row : table.rows) out += line(row, "td");
  return out + "</table></div>\n";
}

std::string to_html(const Chart& chart) {
  nlohmann::ordered_json series = nlohmann::ordered_json::array();
  for (const Series& one : chart.series) {
    nlohmann::ordered_json points = nlohmann::ordered_json::array();
    for (const Series::Point& p : one.points) {
      nlohmann::ordered_json point = {shown(p.x), shown(p.y), shown(p.low), shown(p.high)};
      if (!p.label.empty()) point.push_back(p.label);
      points.push_back(std::move(point));
    }
    series.push_back({{"name", one.name},
                      {"line", one.line},
                      {"dashed", one.dashed},
                      {"color", one.color},
                      {"points", points}});
  }
  const nlohmann::ordered_json data = {{"x", chart.x},
                                       {"y", chart.y},
                                       {"log_x", chart.log_x},
                                       {"log_y", chart.log_y},
                                       {"series", series}};
  std::string out =
      fmt::format("<figure>\n<h3>{}</h3>\n<p>{}</p>\n", escaped(chart.title), escaped(chart.about));
  if (has_charts()) {
    std::string json = data.dump();
    for (size_t at = 0; (at = json.find("</", at)) != std::string::npos; at += 3)
      json.replace(at, 2, "<\\/");
    out += fmt::format(
        "<div class=\"plot\" hidden><canvas role=\"img\" aria-label=\"{}\"></canvas></div>\n"
        "<script type=\"application/json\">{}</script>\n",
        escaped(chart.title), json);
  }
  return out + "<details open><summary>Table</summary>\n" + to_html(chart.table) +
         "</details>\n</figure>\n";
}

std::string document(const std::string& title, const std::string& body) {
  const bool charts = body.find("<canvas") != std::string::npos;
  std::string out = put(kPageTemplate, "{{title}}", escaped(title));
  out = put(out, "{{title}}", escaped(title));
  out = put(out, "{{style}}", kPageStyle);
  out = put(out, "{{script}}",
            charts ? fmt::format("<script>\n{}\n</script>\n<script>\n{}</script>", kChartLibrary,
                                 kPageScript)
                   : std::string());
  return put(out, "{{body}}", body);
}

bool has_charts() { return *kChartLibrary != '\0'; }

}  // namespace meshplan::page
