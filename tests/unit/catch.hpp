// SPDX-License-Identifier: Apache-2.0
// The one place that knows which Catch2 the distribution has.
#pragma once
#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif
