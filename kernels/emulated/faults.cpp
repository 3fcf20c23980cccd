// # Runs each slip, and its correct twin
//
// Arguments are settings of the emulated device. For each of them and each kernel, one line: the
// settings, the kernel's name, `broken` or `correct`, and what was said: a message, `wrong result`
// or nothing. Columns are separated by tabs.

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "faults.h"

namespace {

constexpr int blocks = 4, size = 128;

std::string runOnce(const Fault& fault, bool broken) {
  static const float host = 1;
  std::vector<float> x(blocks * size), y(blocks), expected(blocks);
  for (int i = 0; i < blocks * size; i++) {
    x[i] = float(i * 37 % 101 - 50 + i / size);
    expected[i / size] += x[i];
  }
  const int zero = 0;
  int count = 0;
  // On the heap, where a kernel has no business.
  const auto stray = std::make_unique<float>(host);
  Board board{blocks,
              static_cast<float*>(gpu::alloc(x.size() * sizeof(float))),
              static_cast<float*>(gpu::alloc(y.size() * sizeof(float))),
              static_cast<int*>(gpu::alloc(sizeof(int))),
              stray.get(),
              static_cast<float*>(gpu::alloc(size * sizeof(float))),
              nullptr,
              {}};
  std::string said;
  const auto note = [&](const char* error) {
    if (error && said.empty()) said = error;
  };
  note(gpu::upload(const_cast<float*>(board.x), x.data(), x.size() * sizeof(float)));
  note(gpu::upload(board.count, &zero, sizeof zero));
  note(gpu::free(const_cast<float*>(board.freed)));
  const uint64_t sizes[] = {32, blocks * 4}, strides[] = {32 * sizeof(float)};
  const uint32_t box[] = {32, 4};
  note(gpu::encode_tiled(&board.map, sizeof(float), 2, const_cast<float*>(board.x), sizes, strides,
                         box, 0));
  note(fault.launch(broken, board));
  note(gpu::synchronize(board.stream));
  if (said.empty()) {
    note(gpu::download(y.data(), board.y, y.size() * sizeof(float)));
    note(gpu::download(&count, board.count, sizeof count));
    const bool counts = strcmp(fault.name, "blocksCount") == 0;
    if (y != expected || count != (counts ? blocks : 0)) note("wrong result");
  }
  note(gpu::free(const_cast<float*>(board.x)));
  note(gpu::free(board.y));
  note(gpu::free(board.count));
  return said;
}

}  // namespace

int main(int, char** arguments) {
  for (char** settings = arguments + 1; *settings; settings++) {
    if (const char* error = emulated::configure(*settings)) {
      fprintf(stderr, "%s\n", error);
      return 1;
    }
    for (const Fault& fault : faults)
      for (bool broken : {false, true}) {
        std::string said = runOnce(fault, broken);
        for (char& c : said)
          if (c == '\n') c = ' ';
        printf("%s\t%s\t%s\t%s\n", *settings, fault.name, broken ? "broken" : "correct",
               said.c_str());
      }
  }
}
