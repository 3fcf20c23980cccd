// # What sm_90 adds: barriers that count bytes, TMA, wgmma
//
// A TMA load lands at once, or when nobody could go on without it, or in between; a product is done
// at once or when it is waited for. Until then what they are to fill holds NaNs. Not modelled:
// clusters, setmaxnreg, TMA's im2col mode and stores. How shared memory is swizzled, and where
// descriptors find a matrix, is as the documentation has it: models.cu is to be run on a GPU before
// it is relied on. Source: PTX ISA 9.0, mbarrier, tensor maps, and the canonical layouts of wgmma.

#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include "machine.h"

namespace emulated {

namespace {

// ## Barriers in shared memory

struct TransactionBarrier {
  unsigned number;
  int count, pending;
  int64_t bytes = 0;
  uint32_t phases = 0;
  /** Who initialised it, and whether that was fenced, so that what is asynchronous sees it. */
  const Thread* maker = nullptr;
  bool fenced = false;
  struct Waiting {
    Thread* thread;
    int parity;
  };
  std::vector<Waiting> waiting;
};

/** What the eight bytes hold of a barrier that was initialised and not written over. */
constexpr uint64_t mark = 0xba221e2;
std::map<uint64_t*, TransactionBarrier> transactionBarriers;

TransactionBarrier& barrierAt(uint64_t* where, Site site) {
  const auto found = transactionBarriers.find(where);
  if (found == transactionBarriers.end())
    fail(format("%s%s: no mbarrier was initialised there", site.what, at(site).c_str()));
  if (*where != mark)
    fail(format("%s%s: somebody wrote over the mbarrier", site.what, at(site).c_str()));
  return found->second;
}

void endPhaseIfDone(TransactionBarrier& barrier) {
  if (barrier.pending > 0 || barrier.bytes != 0) return;
  const int parity = int(barrier.phases % 2);
  barrier.phases++;
  barrier.pending = barrier.count;
  if constexpr (checking) checkPhaseEnd(barrier.number);
  std::erase_if(barrier.waiting, [&](const TransactionBarrier::Waiting& w) {
    if (w.parity != parity) return false;
    makeReady(*w.thread);
    return true;
  });
}

}  // namespace

void initBarrier(uint64_t* where, int count, Site site) {
  needsArchitecture(900, site);
  sharedAddress(where);
  if (reinterpret_cast<uintptr_t>(where) % sizeof *where != 0 || count < 1)
    fail(format("%s%s: a barrier is aligned to 8 bytes and for at least one arrival", site.what,
                at(site).c_str()));
  const unsigned number = unsigned(transactionBarriers.size());
  if (number == maxTransactionBarriers)
    fail(format("%s%s: the emulated device has %u barriers for a block", site.what,
                at(site).c_str(), number));
  if constexpr (checking) {
    checkAccess(*self(), where, sizeof *where, true, nullptr, site);
    checkBarrierInit(number);
  }
  *where = mark;
  transactionBarriers[where] = {number, count, count, 0, 0, self(), false, {}};
}

void fenceBarriers() {
  for (auto& [where, barrier] : transactionBarriers)
    barrier.fenced |= barrier.maker == self();
}

void arriveAtBarrier(uint64_t* where, int bytes, Site site) {
  Thread& me = *self();
  // To see a barrier, one must know that it was initialised.
  if constexpr (checking) checkAccess(me, where, sizeof *where, false, nullptr, site);
  TransactionBarrier& barrier = barrierAt(where, site);
  if (barrier.pending == 0)
    fail(format("%s%s: more than the %d arrivals of a phase", site.what, at(site).c_str(),
                barrier.count));
  if constexpr (checking) checkArrival(me, barrier.number);
  barrier.bytes += bytes;
  barrier.pending--;
  endPhaseIfDone(barrier);
  perhapsYield(me);
}

void waitForBarrier(uint64_t* where, int parity, Site site) {
  Thread& me = *self();
  if constexpr (checking) checkAccess(me, where, sizeof *where, false, nullptr, site);
  TransactionBarrier& barrier = barrierAt(where, site);
  perhapsYield(me);
  if (int(barrier.phases % 2) == parity) {
    barrier.waiting.push_back({&me, parity});
    wait(me, site);
  }
  if constexpr (checking) checkPhaseSeen(me, barrier.number, barrier.phases);
}

void fenceForAsync() {
  fenceBarriers();
  if constexpr (checking) checkFence(*self());
}

// ## TMA

namespace {

constexpr uint64_t mapMagic = 0x7e4503a9;

/** Where byte `address` of shared memory lies when bits 7 to 9 are mixed into bits 4 to 6. */
uint32_t swizzled(uint32_t address, int swizzle) {
  const uint32_t bits = (1u << swizzle) - 1;
  return address ^ ((address >> 7 & bits) << 4);
}

struct Load {
  char* to;
  TensorBox map;
  int64_t origin[5];
  uint64_t* barrier;
  Site site;
};
std::deque<Load> loads;

/** Calls `each(address in shared memory, source or nullptr)` for each element of the box. */
template <class Each>
void forBox(const Load& load, Each each) {
  const TensorBox& map = load.map;
  uint32_t address = sharedAddress(load.to);
  int64_t within[5] = {0, 0, 0, 0, 0};
  for (;;) {
    bool inside = true;
    char* source = map.start;
    for (int axis = 0; axis < map.rank; axis++) {
      const int64_t at = load.origin[axis] + within[axis];
      inside &= at >= 0 && at < int64_t(map.sizes[axis]);
      source += at * int64_t(map.strides[axis]);
    }
    each(arena + swizzled(address, map.swizzle), inside ? source : nullptr);
    address += map.elementBytes;
    int axis = 0;
    while (axis < map.rank && ++within[axis] == map.box[axis]) within[axis++] = 0;
    if (axis == map.rank) return;
  }
}

void landLoad(const Load& load) {
  int64_t bytes = 0;
  block.busyWith = load.site;
  forBox(load, [&](char* to, const char* from) {
    if (from)
      memcpy(to, from, load.map.elementBytes);
    else
      memset(to, 0, load.map.elementBytes);
    bytes += load.map.elementBytes;
  });
  block.busyWith = {};
  TransactionBarrier& barrier = transactionBarriers.at(load.barrier);
  barrier.bytes -= bytes;
  endPhaseIfDone(barrier);
}

}  // namespace

const char* encodeBox(TensorBox* map, int elementBytes, int rank, void* start,
                      const uint64_t* sizes, const uint64_t* strides, const uint32_t* box,
                      int swizzle) {
  if (reinterpret_cast<uintptr_t>(start) % 16 != 0)
    return "tensor map: the tensor must begin at a multiple of 16 bytes";
  if (rank < 1 || rank > 5) return "tensor map: tensors have 1 to 5 axes";
  TensorBox made{};
  made.magic = mapMagic;
  made.start = static_cast<char*>(start);
  made.elementBytes = uint8_t(elementBytes);
  made.rank = uint8_t(rank);
  made.swizzle = uint8_t(swizzle);
  made.strides[0] = uint64_t(elementBytes);
  for (int axis = 0; axis < rank; axis++) {
    if (sizes[axis] < 1 || sizes[axis] > uint64_t{1} << 32)
      return "tensor map: each axis of a tensor has 1 to 2^32 elements";
    if (box[axis] < 1 || box[axis] > 256) return "tensor map: a box has 1 to 256 elements an axis";
    if (axis > 0 && (strides[axis - 1] % 16 != 0 || strides[axis - 1] >> 40))
      return "tensor map: strides must be multiples of 16 bytes, and less than 2^40";
    made.sizes[axis] = sizes[axis];
    made.box[axis] = uint16_t(box[axis]);
    if (axis > 0) made.strides[axis] = strides[axis - 1];
  }
  const size_t inner = size_t{box[0]} * size_t(elementBytes);
  if (inner % 16 != 0) return "tensor map: the innermost axis of a box must fill 16-byte pieces";
  if (swizzle && inner > size_t(16 << swizzle))
    return "tensor map: the innermost axis of a box is longer than what is swizzled";
  memcpy(map, &made, sizeof made);
  return nullptr;
}

void loadBox(void* to, const void* map, int rank, const int* origin, uint64_t* barrier, Site site) {
  needsArchitecture(900, site);
  Thread& me = *self();
  Load load{static_cast<char*>(to), {}, {}, barrier, site};
  memcpy(&load.map, map, sizeof load.map);
  if (load.map.magic != mapMagic || load.map.rank != rank)
    fail(format("%s%s: its map was not encoded for %d axes", site.what, at(site).c_str(), rank));
  const uint32_t alignment = load.map.swizzle ? 128u << load.map.swizzle : 128;
  if (sharedAddress(to) % alignment != 0)
    fail(format("%s%s: it is swizzled so that its place in shared memory must be a multiple of %u",
                site.what, at(site).c_str(), alignment));
  for (int axis = 0; axis < rank; axis++) load.origin[axis] = origin[axis];
  const TransactionBarrier& of = barrierAt(barrier, site);
  if (!of.fenced)
    fail(format("%s%s: an mbar_init_fence is missing since its mbarrier was initialised", site.what,
                at(site).c_str()));
  const size_t element = load.map.elementBytes;
  if constexpr (checking)
    forBox(load, [&](const char* p, const char* from) {
      if (from) checkAccess(me, from, element, false, nullptr, site);
      checkBulkWrite(me, p, element, of.number, of.phases, site);
    });
  if (settings.asynchrony == Asynchrony::eager) return landLoad(load);
  forBox(load, [&](char* p, const char*) { memset(p, poison, element); });
  loads.push_back(load);
}

bool hasPendingLoads() { return !loads.empty(); }

void landOneLoad() {
  const size_t which =
      settings.asynchrony == Asynchrony::random ? draw(uint32_t(loads.size())) : 0;
  const Load load = loads[which];
  loads.erase(loads.begin() + ptrdiff_t(which));
  landLoad(load);
}

// ## wgmma

namespace {

struct Multiplication {
  TensorProduct what;
  float* sums[warpgroupThreads];
  /** Of each thread, where A lies in registers: what they hold when the product is done. */
  const uint32_t* fragments[warpgroupThreads];
  /** The accumulators as they were, if they are not another product's, which is still to come. */
  std::vector<float> before;
  Site site;
};

struct Warpgroup {
  Multiplication gathering;
  std::vector<Thread*> arrived;
  std::deque<Multiplication> pending;
  uint32_t begun = 0, done = 0;
};
Warpgroup warpgroups[maxTensorAgents];

constexpr int productRows = 64, mostColumns = 128, mostDepth = 16;

int sumsOfThread(const TensorProduct& p) { return p.columns / 2; }

/** A descriptor's matrix: where the element at (m or n, k) lies in shared memory. */
struct Operand {
  uint64_t descriptor;
  /** Whether what lies next to each other are rows or columns of the product, and not k. */
  bool alongRows;
  uint32_t elementBytes;

  uint32_t at(uint32_t i, uint32_t k) const {
    const uint32_t start = uint32_t(descriptor & 0x3fff) << 4;
    const uint32_t leading = uint32_t(descriptor >> 16 & 0x3fff) << 4;
    const uint32_t stride = uint32_t(descriptor >> 32 & 0x3fff) << 4;
    // 1 stands for 128 bytes and 3 for 32, other than in tensor maps.
    const uint32_t mode = uint32_t(descriptor >> 62);
    const int swizzle = mode ? int(4 - mode) : 0;
    const uint32_t span = 16u << swizzle, piece = 16 / elementBytes, row = span / elementBytes;
    uint32_t offset;
    if (!alongRows)
      // Eight rows of a span each form a group.
      offset = i % 8 * span + i / 8 * stride + k % piece * elementBytes +
               k / piece * (swizzle ? 16 : leading);
    else if (swizzle)
      offset = i % row * elementBytes + i / row * leading + k % 8 * span + k / 8 * stride;
    else
      offset = i % piece * elementBytes + i / piece * stride + k % 8 * 16 + k / 8 * leading;
    return swizzled(start + offset, swizzle);
  }

  float value(uint32_t i, uint32_t k) const {
    uint32_t bits = 0;
    memcpy(&bits, arena + at(i, k), elementBytes);
    return std::bit_cast<float>(elementBytes == 4 ? bits & 0xffffe000 : bits << 16);
  }
};

Operand operandA(const TensorProduct& p) { return {p.a, p.rowsOfA, p.isTf32 ? 4u : 2u}; }
Operand operandB(const TensorProduct& p) { return {p.b, p.columnsOfB, p.isTf32 ? 4u : 2u}; }
int depthOf(const TensorProduct& p) { return p.isTf32 ? 8 : 16; }

/** Calls `each(row, column, index)` for each sum that a thread has. */
template <class Each>
void forSums(unsigned thread, int count, Each each) {
  const int warp = int(thread / 32), g = int(thread % 32 / 4), t = int(thread % 4);
  for (int i = 0; i < count; i++)
    each(16 * warp + g + 8 * (i % 4 / 2), 8 * (i / 4) + 2 * t + i % 2, i);
}

/** A row of 64 numbers for each k, from fragments as mma.sync has them: four warps of 16 rows. */
void collectFragments(const Multiplication& product, float (&a)[productRows][mostDepth]) {
  for (unsigned thread = 0; thread < warpgroupThreads; thread++) {
    const int warp = int(thread / 32), g = int(thread % 32 / 4), t = int(thread % 4);
    for (int v = 0; v < 4; v++) {
      const uint32_t bits = product.fragments[thread][v];
      float* row = a[16 * warp + g + 8 * (v % 2)];
      if (product.what.isTf32) {
        row[t + 4 * (v / 2)] = std::bit_cast<float>(bits & 0xffffe000);
      } else {
        row[2 * t + 8 * (v / 2)] = std::bit_cast<float>(bits << 16);
        row[2 * t + 1 + 8 * (v / 2)] = std::bit_cast<float>(bits & 0xffff0000);
      }
    }
  }
}

void multiply(const Multiplication& product) {
  static float sums[productRows][mostColumns], a[productRows][mostDepth], b[mostDepth][mostColumns];
  const TensorProduct& what = product.what;
  const int count = sumsOfThread(what), depth = depthOf(what);
  for (unsigned thread = 0; thread < warpgroupThreads; thread++)
    forSums(thread, count, [&](int row, int column, int i) {
      const float* from = product.before.empty() ? product.sums[thread]
                                                 : &product.before[thread * unsigned(count)];
      sums[row][column] = what.accumulate ? from[i] : 0;
    });
  const Operand left = operandA(what), right = operandB(what);
  for (int k = 0; k < depth; k++)
    for (int j = 0; j < what.columns; j++) b[k][j] = right.value(uint32_t(j), uint32_t(k));
  if (product.fragments[0])
    collectFragments(product, a);
  else
    for (int i = 0; i < productRows; i++)
      for (int k = 0; k < depth; k++) a[i][k] = left.value(uint32_t(i), uint32_t(k));
  for (int i = 0; i < productRows; i++)
    for (int k = 0; k < depth; k++)
      for (int j = 0; j < what.columns; j++) sums[i][j] = std::fma(a[i][k], b[k][j], sums[i][j]);
  for (unsigned thread = 0; thread < warpgroupThreads; thread++)
    forSums(thread, count,
            [&](int row, int column, int i) { product.sums[thread][i] = sums[row][column]; });
}

std::vector<TensorRead> readsOf(const Multiplication& product) {
  const TensorProduct& what = product.what;
  std::vector<TensorRead> reads;
  const auto add = [&](const Operand& operand, int lines) {
    for (uint32_t i = 0; i < uint32_t(lines); i++)
      for (uint32_t k = 0; k < uint32_t(depthOf(what)); k++)
        reads.push_back({arena + operand.at(i, k), operand.elementBytes});
  };
  if (!product.fragments[0]) add(operandA(what), productRows);
  add(operandB(what), what.columns);
  return reads;
}

/** All threads of the warpgroup are here. */
void begin(Warpgroup& group, unsigned number) {
  Multiplication& product = group.gathering;
  group.begun++;
  if constexpr (checking)
    checkTensorReads(group.arrived.data(), group.arrived.size(), readsOf(product), number,
                     group.begun, product.site);
  if (group.pending.empty() && !putOff()) {
    multiply(product);
    group.done++;
    return;
  }
  bool follows = false;
  for (const Multiplication& earlier : group.pending) follows |= earlier.sums[0] == product.sums[0];
  const int count = sumsOfThread(product.what);
  if (!follows)
    for (float* sums : product.sums) {
      product.before.insert(product.before.end(), sums, sums + count);
      memset(sums, poison, size_t(count) * sizeof(float));
    }
  group.pending.push_back(product);
}

}  // namespace

uint64_t describeMatrix(const void* matrix, uint32_t leading, uint32_t stride, int swizzle,
                        Site site) {
  const uint32_t start = sharedAddress(matrix);
  if (start % 16 != 0 || leading % 16 != 0 || stride % 16 != 0 || (leading | stride) >> 18)
    fail(format("%s%s: a matrix begins at a multiple of 16 bytes, and its strides of %u and %u bytes "
                "must be such, below 2^18",
                site.what, at(site).c_str(), leading, stride));
  // Eight rows are swizzled alike; further down, a descriptor would have to say by how many.
  if (const uint32_t span = 16u << (4 - swizzle); swizzle && start % (8 * span) >= span)
    fail(format("%s%s: swizzled within %u bytes, a matrix begins in the first row after a multiple "
                "of %u, not %u bytes behind it",
                site.what, at(site).c_str(), span, 8 * span, start % (8 * span)));
  return uint64_t{(start & 0x3ffff) >> 4} | uint64_t{leading >> 4} << 16 | uint64_t{stride >> 4} << 32 |
         static_cast<uint64_t>(swizzle) << 62;
}

void beginProducts() { self()->mayMultiply = true; }

void multiplyInWarpgroup(float* sums, const uint32_t* fragment, const TensorProduct& what,
                         Site site) {
  needsArchitecture(900, site);
  Thread& me = *self();
  const unsigned number = me.index / warpgroupThreads;
  Warpgroup& group = warpgroups[number];
  if ((number + 1) * warpgroupThreads > block.threads.size())
    fail(format("%s%s: no whole warpgroup is left for this thread", site.what, at(site).c_str()));
  if (!me.mayMultiply)
    fail(format("%s%s: no wgmma_arrive since the accumulators could last be touched", site.what,
                at(site).c_str()));
  Multiplication& product = group.gathering;
  if (group.arrived.empty()) {
    product = {what, {}, {}, {}, site};
  } else if (product.site.line != site.line || product.what.a != what.a ||
             product.what.b != what.b || product.what.accumulate != what.accumulate) {
    fail(format("%s%s: the threads of its warpgroup do not agree on the operands", site.what,
                at(site).c_str()));
  }
  product.sums[me.index % warpgroupThreads] = sums;
  product.fragments[me.index % warpgroupThreads] = fragment;
  me.products++;
  if constexpr (checking)
    me.accumulators.push_back({sums, sumsOfThread(what), fragment, me.products});
  group.arrived.push_back(&me);
  if (group.arrived.size() < warpgroupThreads) return wait(me, site);
  begin(group, number);
  for (Thread* thread : std::exchange(group.arrived, {}))
    if (thread != &me) makeReady(*thread);
}

void commitProducts() { self()->productGroups.push_back(self()->products); }

void waitForProducts(int pending) {
  Thread& me = *self();
  me.mayMultiply = false;
  if (me.productGroups.size() <= size_t(pending)) return;
  const uint32_t until = me.productGroups[me.productGroups.size() - size_t(pending) - 1];
  const unsigned number = me.index / warpgroupThreads;
  Warpgroup& group = warpgroups[number];
  while (group.done < until) {
    multiply(group.pending.front());
    group.pending.pop_front();
    group.done++;
  }
  std::erase_if(me.accumulators, [&](const Accumulators& a) { return a.product <= until; });
  if constexpr (checking) checkTensorLanded(me, number, until);
}

void resetHopper() {
  transactionBarriers.clear();
  loads.clear();
  for (Warpgroup& group : warpgroups) {
    group.arrived.clear();
    group.pending.clear();
    group.begun = group.done = 0;
  }
}

}  // namespace emulated
