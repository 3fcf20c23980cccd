// # Instructions
//
// Tensor cores, matrix loads, asynchronous copies, and where shared memory lies. A fragment's
// layout is as PTX has it, with g = lane / 4 and t = lane % 4; the sums are float32, one fused
// multiply-add after the other. The hardware's own sums are undocumented, but no worse than the
// bounds that tests use. Source: PTX ISA 9.0, sections on mma, ldmatrix and cp.async.

#include <bit>
#include <cmath>
#include <cstring>

#include "machine.h"
#include "meet.h"

namespace emulated {

// ## Shared memory

size_t sharedLimit(int architecture) {
  switch (architecture) {
    case 750: return 64 << 10;
    case 800: return 163 << 10;
    case 860: case 890: case 1200: return 99 << 10;
    default: return 227 << 10;
  }
}

void needsArchitecture(int architecture, Site site) {
  if (block.launch->architecture < architecture)
    fail(format("%s%s needs sm_%d; the emulated device is sm_%d", site.what, at(site).c_str(),
                architecture / 10, block.launch->architecture / 10));
}

unsigned char* dynamicShared() { return reinterpret_cast<unsigned char*>(arena + sharedStart); }

void* staticShared(const void* key, size_t bytes, size_t alignment, Site site) {
  for (const SharedVariable& v : block.variables)
    if (v.key == key) return arena + v.offset;
  const size_t offset = (block.staticEnd + alignment - 1) / alignment * alignment;
  size_t sum = bytes;
  for (const SharedVariable& v : block.variables) sum += v.bytes;
  if (sum > staticLimit)
    fail(format("with that%s its block has %zu bytes of shared variables; %zu are allowed, more only "
                "as dynamic shared memory",
                at(site).c_str(), sum, staticLimit));
  const Launch& launch = *block.launch;
  if (sum + launch.sharedBytes > sharedLimit(launch.architecture))
    fail(format("with that%s its block has %zu bytes of shared variables and %zu of dynamic shared "
                "memory; sm_%d has %zu",
                at(site).c_str(), sum, launch.sharedBytes, launch.architecture / 10,
                sharedLimit(launch.architecture)));
  memset(arena + offset, poison, bytes);
  // A gap, so that what lies beyond one variable is not another one.
  memset(arena + offset + bytes, fence, 16);
  block.staticEnd = offset + bytes + 16;
  block.variables.push_back({key, offset, bytes});
  return arena + offset;
}

uint32_t sharedAddress(const void* p) {
  const size_t offset = size_t(static_cast<const char*>(p) - arena);
  if (offset >= arenaBytes)
    fail("takes the shared address of something that is not in shared memory");
  return uint32_t(offset);
}

// ## Tensor cores

namespace {

struct Product {
  float* d;
  const uint32_t *a, *b;
};

float fromBf16(uint32_t bits) { return std::bit_cast<float>(bits << 16); }
/** The hardware does not look at the low 13 bits. */
float fromTf32(uint32_t bits) { return std::bit_cast<float>(bits & 0xffffe000); }

/** The 16×8 tile of the sum, of which each lane has four numbers. */
struct Tile {
  float at[16][8];

  static void forOwn(int lane, auto each) {
    const int g = lane / 4, t = lane % 4;
    for (int v = 0; v < 4; v++) each(g + 8 * (v / 2), 2 * t + v % 2, v);
  }
  void collect(int lane, const float* d) {
    forOwn(lane, [&](int i, int j, int v) { at[i][j] = d[v]; });
  }
  void give(int lane, float* d) const {
    forOwn(lane, [&](int i, int j, int v) { d[v] = at[i][j]; });
  }
};

void addProduct(float (&sum)[16][8], const float* a, const float (*b)[8], int depth) {
  for (int i = 0; i < 16; i++)
    for (int k = 0; k < depth; k++)
      for (int j = 0; j < 8; j++) sum[i][j] = std::fma(a[i * depth + k], b[k][j], sum[i][j]);
}

}  // namespace

void multiplyTf32(float* d, const uint32_t* a, const uint32_t* b, Site site) {
  needsArchitecture(800, site);
  Product mine{d, a, b};
  meet(0xffffffff, Operation::matrix, &mine,
       [](Meeting& meeting, Warp&) {
         float a[16][8], b[8][8];
         Tile sum;
         for (int lane = 0; lane < 32; lane++) {
           const Product& x = *static_cast<Product*>(meeting.operand[lane]);
           const int g = lane / 4, t = lane % 4;
           for (int v = 0; v < 4; v++) a[g + 8 * (v % 2)][t + 4 * (v / 2)] = fromTf32(x.a[v]);
           for (int v = 0; v < 2; v++) b[t + 4 * v][g] = fromTf32(x.b[v]);
           sum.collect(lane, x.d);
         }
         addProduct(sum.at, a[0], b, 8);
         for (int lane = 0; lane < 32; lane++)
           sum.give(lane, static_cast<Product*>(meeting.operand[lane])->d);
       },
       site);
}

void multiplyBf16(float* d, const uint32_t* a, const uint32_t* b, Site site) {
  needsArchitecture(800, site);
  Product mine{d, a, b};
  meet(0xffffffff, Operation::matrix, &mine,
       [](Meeting& meeting, Warp&) {
         float a[16][16], b[16][8];
         Tile sum;
         for (int lane = 0; lane < 32; lane++) {
           const Product& x = *static_cast<Product*>(meeting.operand[lane]);
           const int g = lane / 4, t = lane % 4;
           // A register holds two numbers, the lower half the first.
           for (int half = 0; half < 2; half++) {
             for (int v = 0; v < 4; v++)
               a[g + 8 * (v % 2)][2 * t + half + 8 * (v / 2)] =
                   fromBf16(x.a[v] >> 16 * half & 0xffff);
             for (int v = 0; v < 2; v++)
               b[2 * t + half + 8 * v][g] = fromBf16(x.b[v] >> 16 * half & 0xffff);
           }
           sum.collect(lane, x.d);
         }
         addProduct(sum.at, a[0], b, 16);
         for (int lane = 0; lane < 32; lane++)
           sum.give(lane, static_cast<Product*>(meeting.operand[lane])->d);
       },
       site);
}

namespace {

struct MatrixLoad {
  uint32_t* fragment;
  const void* row;
  bool transposed;
};

}  // namespace

void loadMatrices(uint32_t* fragment, const void* row, bool transposed, Site site) {
  sharedAddress(row);
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
    fail(format("%s%s: a row's address is no multiple of 16", site.what, at(site).c_str()));
  if constexpr (checking) checkAccess(*self(), row, 16, false, nullptr, site);
  MatrixLoad mine{fragment, row, transposed};
  meet(0xffffffff, Operation::matrix, &mine,
       [](Meeting& meeting, Warp&) {
         uint16_t matrix[4][8][8];
         for (int lane = 0; lane < 32; lane++)
           memcpy(matrix[lane / 8][lane % 8],
                  static_cast<MatrixLoad*>(meeting.operand[lane])->row, 16);
         for (int lane = 0; lane < 32; lane++) {
           const MatrixLoad& x = *static_cast<MatrixLoad*>(meeting.operand[lane]);
           const int g = lane / 4, t = lane % 4;
           for (int j = 0; j < 4; j++) {
             const auto& m = matrix[j];
             const uint32_t low = x.transposed ? m[2 * t][g] : m[g][2 * t];
             const uint32_t high = x.transposed ? m[2 * t + 1][g] : m[g][2 * t + 1];
             x.fragment[j] = low | high << 16;
           }
         }
       },
       site);
}

// ## Asynchronous copies
//
// A copy may land at once or when it is waited for; until then shared memory holds NaNs, which
// whoever reads too early meets.

namespace {

void land(const Copy& copy) {
  block.busyWith = copy.site;
  memcpy(copy.to, copy.from, size_t(copy.valid));
  memset(static_cast<char*>(copy.to) + copy.valid, 0, size_t(copy.bytes - copy.valid));
  block.busyWith = {};
}

}  // namespace

void copyAsync(void* to, const void* from, int bytes, int valid, Site site) {
  Thread& me = *self();
  if (valid < 0 || valid > bytes)
    fail(format("cp.async%s copies %d of %d bytes", at(site).c_str(), valid, bytes));
  const uintptr_t addresses =
      reinterpret_cast<uintptr_t>(to) | (valid ? reinterpret_cast<uintptr_t>(from) : 0);
  if (addresses % unsigned(bytes) != 0)
    fail(format("cp.async%s: an address is no multiple of the %d bytes that it copies",
                at(site).c_str(), bytes));
  sharedAddress(to);
  const Copy copy{to, from, bytes, valid, site};
  if constexpr (checking)
    if (valid) checkAccess(me, from, size_t(valid), false, nullptr, site);
  // Below sm_80 the copy is an ordinary load and store.
  if (block.launch->architecture < 800) {
    if constexpr (checking) checkAccess(me, to, size_t(bytes), true, nullptr, site);
    return land(copy);
  }
  if constexpr (checking) checkCopy(me, to, size_t(bytes), site);
  me.hasOpenCopies = true;
  if (!putOff()) return land(copy);
  memset(to, poison, size_t(bytes));
  me.openCopies.push_back(copy);
}

void commitCopies() {
  Thread& me = *self();
  me.copyGroups.push_back(std::move(me.openCopies));
  me.openCopies.clear();
  me.hasOpenCopies = false;
  me.committed++;
}

void landCopies(Thread& thread, size_t pending) {
  while (thread.copyGroups.size() > pending) {
    for (const Copy& copy : thread.copyGroups.front()) land(copy);
    thread.copyGroups.pop_front();
    thread.landed++;
  }
}

void waitForCopies(int pending) { landCopies(*self(), size_t(pending)); }

}  // namespace emulated
