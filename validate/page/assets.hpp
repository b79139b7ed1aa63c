// SPDX-License-Identifier: Apache-2.0
// The parts of a page that are no C++: written into the binary by validate/CMakeLists.txt.
#pragma once

namespace meshplan::page {

extern const char* const kPageTemplate;  ///< page.html
extern const char* const kPageStyle;     ///< page.css
extern const char* const kPageScript;    ///< page.js
extern const char* const kChartLibrary;  ///< Chart.js with its licence line; empty: not installed

}  // namespace meshplan::page
