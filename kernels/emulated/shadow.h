// # What is remembered of each access
//
// The check build keeps, for each four bytes of shared and device memory, who wrote them last and
// who has read them since. Accesses to parts of four bytes split what is remembered into bytes.

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace emulated {

/** Who accesses: a thread, its asynchronous copies, a TMA load, a warpgroup's tensor cores. */
using Agent = uint16_t;

/** Where in the source: an address in code, or the number of an operation's site. */
using Origin = uint64_t;

struct Access {
  Origin origin = 0;
  /** The block, and how many barriers of all its threads it had passed; 0 for no access. */
  uint32_t serial = 0, epoch = 0;
  /** The agent's time: of a thread the meetings it has been to, of others what is waited for. */
  uint32_t time = 0;
  Agent agent = 0;
  bool isAtomic = false;
};

struct Cell {
  Access write, read;
  /** If several read that are not ordered, the list of them: an index plus one. */
  uint32_t readers = 0;
  /** If bytes were accessed one by one: an index plus one. */
  uint32_t split = 0;
};

struct Shadow {
  static constexpr size_t granule = 4, cellsOfPage = 1024;
  using Page = std::array<Cell, cellsOfPage>;
  std::vector<std::unique_ptr<Page>> pages;
  std::vector<std::array<Cell, granule>> splits;

  explicit Shadow(size_t bytes)
      : pages(bytes / (granule * cellsOfPage) + 1) {}

  Cell& cell(size_t granuleNumber) {
    auto& page = pages[granuleNumber / cellsOfPage];
    if (!page) page = std::make_unique<Page>();
    return (*page)[granuleNumber % cellsOfPage];
  }

  /** Calls `each(cell, offset)` for what is remembered of the bytes. */
  template <class Each>
  void forCells(size_t offset, size_t bytes, Each each) {
    for (const size_t end = offset + bytes; offset < end;) {
      Cell& whole = cell(offset / granule);
      const size_t next = (offset / granule + 1) * granule;
      if (whole.split == 0 && offset % granule == 0 && next <= end) {
        each(whole, offset);
        offset = next;
        continue;
      }
      if (whole.split == 0) {
        splits.push_back({whole, whole, whole, whole});
        whole.split = uint32_t(splits.size());
      }
      // The list of parts may move when `each` splits another cell; it splits none.
      for (; offset < next && offset < end; offset++)
        each(splits[whole.split - 1][offset % granule], offset);
    }
  }
};

}  // namespace emulated
