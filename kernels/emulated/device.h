// # The emulated device, as its host and the kernel language see it
//
// One block runs at a time, on the caller's thread; its threads are fibers, each with a stack of
// its own, and one runs until it has to wait. What runs next, and when an asynchronous copy lands,
// is a choice that a GPU is free to make in any way; here `Settings` makes it, from a seed. So a
// kernel that needs one particular order meets another one, the same on every run.
//
// A launch that does what a kernel must not do ends at once, with a message that names kernel,
// block, thread and source line. Two builds differ in what they see. The plain one is fast and sees
// what hits a guard page, a NaN or an impossible meeting of threads. The check build
// (EMULATED_CHECK=1, its kernels compiled with -fsanitize=thread) is told of every access to
// memory, and reports each race, each access out of bounds and each read of what nothing wrote,
// whatever the schedule.

#pragma once

#include <cstddef>
#include <cstdint>

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace gpu {
struct DeviceInfo;
}

namespace emulated {

// ## What may be chosen

enum class Order { forward, reverse, random };
/** When an asynchronous copy, or a launch in a stream, happens: at once, as late as allowed, either. */
enum class Asynchrony { eager, late, random };

struct Settings {
  Order order = Order::forward;
  Asynchrony asynchrony = Asynchrony::eager;
  uint64_t seed = 1;
  /** Memory of the device, to see what happens when it is full. */
  size_t memoryBytes = size_t{4} << 30;
  /** The compute capability, times a hundred, where the device is to be older than its kernels. */
  int architecture = 1 << 30;
  /** The driver's release, as 1000 · major + 10 · minor; 0 for none. */
  int driver = 13000;
  /** The number of the launch from which on the device is lost; 0 for none. */
  uint64_t lostAt = 0;
  /** By gpu::Way: whether kernels go, with few numbers too, a way that only pays for many. */
  bool always[3] = {};
};
extern Settings settings;

/** The compute capability that a device has whose kernels were compiled for `compiled`. */
int architectureOf(int compiled);

/** Sets what `text` names, as in "order=random asynchrony=late seed=7 memory=1048576", and all else anew. */
const char* configure(const char* text);

/** Whether this is the check build. */
bool checks();

// ## Memory, streams and launches: what gpu.h promises

void* allocate(size_t bytes);
const char* release(void* memory);

struct Stream;
struct Graph;
Stream* createStream();
const char* destroyStream(Stream* stream);
const char* synchronize(Stream* stream);
const char* upload(void* to, const void* from, size_t bytes, Stream* stream);
const char* download(void* to, const void* from, size_t bytes, Stream* stream);
const char* copy(void* to, const void* from, size_t bytes, Stream* stream);
const char* fill(void* to, int byte, size_t bytes, Stream* stream);
const char* beginCapture(Stream* stream);
const char* endCapture(Stream* stream, Graph** graph);
const char* replay(Graph* graph, Stream* stream);
const char* destroyGraph(Graph* graph);
const char* describe(gpu::DeviceInfo* info, int compiled);

/** A kernel with its arguments: `call` copies them, as a launch does, and runs one thread. */
struct Body {
  void (*call)(const void* arguments);
  void (*destroy)(void* arguments);
  void* arguments;
  size_t bytes;
  /** The compute capability that the kernel was compiled for, times a hundred. */
  int architecture;
};
/** Takes ownership of the arguments. */
const char* launch(const char* name, dim3 grid, dim3 block, size_t sharedBytes, Stream* stream,
                   Body body);

// ## What a running thread may ask for
//
// Each call that can fail, wait or meet other threads is told where in the source it stands.

struct Site {
  const char* what;
  const char* file;
  int line;
};

/** The coordinates of the thread that runs. */
struct Place {
  uint3 thread, block;
  dim3 blockSize, gridSize;
};
// A kernel looks here at each threadIdx: one load, even in a library that is loaded late.
extern const Place* place;

enum class Vote { none, count, all, any };
int syncBlock(Vote vote, int predicate, Site site);
void syncNamed(int barrier, int threads, Site site);
void syncWarp(uint32_t mask, Site site);

enum class Shuffle { index, up, down, exclusiveOr };
uint64_t shuffle(Shuffle kind, uint32_t mask, uint64_t value, int operand, int width, Site site);
uint32_t ballot(uint32_t mask, int predicate, Site site);
enum class Reduction { add, min, max, bitAnd, bitOr, bitXor };
uint32_t reduce(Reduction kind, uint32_t mask, uint32_t value, bool isSigned, Site site);

enum class Atomic { add, min, max, exchange, compareAndSwap, bitAnd, bitOr };
/** Atomically, on 4 or 8 bytes; returns what was there. */
uint64_t atomic(Atomic kind, void* where, int bytes, bool isSigned, uint64_t operand,
                uint64_t compare, Site site);

unsigned char* dynamicShared();
/** The block's variable that `key` stands for; made when a thread of the block first asks. */
void* staticShared(const void* key, size_t bytes, size_t alignment, Site site);
uint32_t sharedAddress(const void* p);

void multiplyTf32(float* d, const uint32_t* a, const uint32_t* b, Site site);
void multiplyBf16(float* d, const uint32_t* a, const uint32_t* b, Site site);
void loadMatrices(uint32_t* fragment, const void* row, bool transposed, Site site);

void copyAsync(void* to, const void* from, int bytes, int valid, Site site);
void commitCopies();
void waitForCopies(int pending);

// ## TMA and wgmma, of sm_90

void initBarrier(uint64_t* barrier, int count, Site site);
/** Shows the barriers that this thread has initialised to what is asynchronous. */
void fenceBarriers();
/** Arrives; `bytes` are announced to land in this phase. */
void arriveAtBarrier(uint64_t* barrier, int bytes, Site site);
void waitForBarrier(uint64_t* barrier, int parity, Site site);
void fenceForAsync();

/** What a TensorMap's 128 bytes hold on the emulated device. */
struct TensorBox {
  uint64_t magic;
  char* start;
  uint64_t sizes[5], strides[5];
  uint16_t box[5];
  uint8_t elementBytes, rank, swizzle;
};
const char* encodeBox(TensorBox* map, int elementBytes, int rank, void* start,
                      const uint64_t* sizes, const uint64_t* strides, const uint32_t* box,
                      int swizzle);
void loadBox(void* to, const void* map, int rank, const int* origin, uint64_t* barrier, Site site);

/** A warpgroup's product of 64 rows; `isTf32`, or bf16 with axes that may be swapped. */
struct TensorProduct {
  bool isTf32, rowsOfA, columnsOfB, accumulate;
  int columns;
  /** Descriptors; A's is 0 where its numbers lie in registers. */
  uint64_t a, b;
};
/** The descriptor of a matrix in shared memory, as wgmma counts. */
uint64_t describeMatrix(const void* matrix, uint32_t leading, uint32_t stride, int swizzle,
                        Site site);
void beginProducts();
/** `fragment`: this thread's four registers of A, or null. */
void multiplyInWarpgroup(float* sums, const uint32_t* fragment, const TensorProduct& product,
                         Site site);
void commitProducts();
void waitForProducts(int pending);

[[noreturn]] void trap(Site site);

}  // namespace emulated
