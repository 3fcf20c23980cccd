// # What is remembered of each access
//
// Used by the check build only.

#pragma once

namespace emulated {

struct Shadow {};

}  // namespace emulated
