// # Device memory
//
// Each allocation has pages of its own, between pages that nobody may touch, and ends at the end of
// its last page: one element too far is a fault. What rounding leaves on either side is filled with
// a pattern that is looked at after every launch. Freed memory stays untouchable for a while, so
// that its use is seen, too. Fresh memory holds NaNs.

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "machine.h"
#include "shadow.h"

namespace emulated {

Allocation::Allocation(char* start, size_t bytes, char* pages, size_t span)
    : start(start), bytes(bytes), pages(pages), span(span) {
  if constexpr (checking) written.assign(bytes, false);
}
Allocation::~Allocation() { munmap(pages, span); }

namespace {

std::map<const char*, std::unique_ptr<Allocation>> allocations;
std::deque<Allocation*> freed;
size_t liveBytes = 0;
constexpr size_t keptAfterFree = 64;
/** What a float4 needs. A GPU aligns to 256, of which a kernel must not make use for parts of tensors. */
constexpr size_t alignment = 16;

size_t roundUp(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

bool intact(const char* from, const char* to) {
  for (; from < to; from++)
    if (static_cast<unsigned char>(*from) != fence) return false;
  return true;
}

std::string fenceOf(const Allocation& a) {
  const char* side = !intact(a.pages + pageBytes, a.start)                           ? "before"
                     : !intact(a.start + a.bytes, a.pages + a.span - pageBytes) ? "after"
                                                                                     : nullptr;
  if (!side) return "";
  return format("wrote %s a device allocation of %zu bytes", side, a.bytes);
}

}  // namespace

void* claim(size_t bytes) {
  if (bytes == 0) bytes = 1;
  if (bytes > settings.memoryBytes || liveBytes > settings.memoryBytes - bytes) return nullptr;
  const size_t rounded = roundUp(bytes, alignment), inner = roundUp(rounded, pageBytes);
  const size_t span = inner + 2 * pageBytes;
  void* memory =
      mmap(nullptr, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  char* pages = static_cast<char*>(memory);
  char *first = pages + pageBytes, *start = first + inner - rounded;
  if (mprotect(first, inner, PROT_READ | PROT_WRITE) != 0) {
    munmap(pages, span);
    return nullptr;
  }
  memset(first, fence, start - first);
  memset(start, poison, bytes);
  memset(start + bytes, fence, rounded - bytes);
  liveBytes += bytes;
  allocations.emplace(pages, std::make_unique<Allocation>(start, bytes, pages, span));
  return start;
}

std::string giveBack(void* memory) {
  Allocation* a = allocationOf(memory);
  if (!a || !a->live || a->start != memory)
    return "free: a live allocation must begin there, but it is " + whereInMemory(memory);
  const std::string broken = fenceOf(*a);
  a->live = false;
  a->shadow.reset();
  a->written = {};
  liveBytes -= a->bytes;
  // The pages go back to the system, the addresses do not.
  mmap(a->pages, a->span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  freed.push_back(a);
  if (freed.size() > keptAfterFree) {
    allocations.erase(freed.front()->pages);
    freed.pop_front();
  }
  return broken.empty() ? "" : "free: a kernel " + broken;
}

Allocation* allocationOf(const void* p) {
  const char* address = static_cast<const char*>(p);
  auto next = allocations.upper_bound(address);
  if (next == allocations.begin()) return nullptr;
  Allocation* a = std::prev(next)->second.get();
  return address < a->pages + a->span ? a : nullptr;
}

std::string whereInMemory(const void* p) {
  const Allocation* a = allocationOf(p);
  if (!a) return "an address outside the device's memory";
  return format("offset %td of %s allocation of %zu bytes", static_cast<const char*>(p) - a->start,
                a->live ? "an" : "a freed", a->bytes);
}

size_t freeMemory() { return settings.memoryBytes - std::min(liveBytes, settings.memoryBytes); }

std::string brokenFence() {
  for (const auto& [pages, a] : allocations)
    if (a->live)
      if (std::string broken = fenceOf(*a); !broken.empty()) return broken;
  return "";
}

const void* firstUnwritten(const void* from, size_t bytes) {
  if constexpr (!checking) return nullptr;
  const Allocation& a = *allocationOf(from);
  const auto begin = a.written.begin() + (static_cast<const char*>(from) - a.start);
  const auto found = std::find(begin, begin + bytes, false);
  return found == begin + bytes ? nullptr : a.start + (found - a.written.begin());
}

void markWritten(void* to, size_t bytes) {
  if constexpr (!checking) return;
  Allocation* a = allocationOf(to);
  if (!a || !a->live) return;
  const auto begin = a->written.begin() + (static_cast<char*>(to) - a->start);
  std::fill(begin, begin + bytes, true);
}

}  // namespace emulated
