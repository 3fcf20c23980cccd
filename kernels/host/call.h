// # A call
//
// What every kernel is handed: views of its inputs and outputs, the options by name, and the
// threads. Nothing here is trusted. Each kernel first says what it needs with the words below
// (`require`, `want`, `whole`); whatever does not hold throws a `Refusal` before any memory is
// touched, and the caller in JavaScript sees it as an exception. Operands may lie over one another, and
// JavaScript in other threads may write to them: a number that leads to an address is copied before it is checked.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "pool.h"

namespace convnotes {

/** An argument that cannot be computed with. */
struct Refusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void require(bool holds, const std::string& message) {
  if (!holds) throw Refusal(message);
}

enum class DType : uint8_t { float32, float64, int64, uint8 };

inline constexpr const char* dtypeNames[] = {"float32", "float64", "int64", "uint8"};
inline constexpr int dtypeBytes[] = {4, 8, 8, 1};

constexpr int MAX_AXES = 8;

/** One tensor: where its numbers are, of what type, in what shape. Absent where `data` is null. */
struct Operand {
  void* data = nullptr;
  DType dtype = DType::float32;
  int axes = 0;
  int64_t shape[MAX_AXES] = {};
  bool present = false;
  /**
   * Elements from the end of an image, which is what one place along the first axis has, to the beginning of
   * the next. Not 0 where the tensor is a slice of a larger one.
   */
  int64_t gap = 0;

  explicit operator bool() const { return present; }
  int64_t size() const {
    int64_t product = 1;
    for (int i = 0; i < axes; i++) product *= shape[i];
    return product;
  }
  /** The product of the sizes from axis `from` up to, not including, `to`. */
  int64_t size(int from, int to) const {
    int64_t product = 1;
    for (int i = from; i < to; i++) product *= shape[i];
    return product;
  }
  /** Elements from the first up to the last. */
  int64_t extent() const { return size() + (gap ? (shape[0] - 1) * gap : 0); }
  float* floats() const { return static_cast<float*>(data); }
  std::string show() const {
    std::string text = "[";
    for (int i = 0; i < axes; i++) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
  }
};

// ## Options
//
// The binding copies every property of JavaScript's options object that is a number, a boolean,
// a string, a BigInt or a list of numbers; kernels look them up by name.

struct Option {
  enum class Kind : uint8_t { number, flag, text, big, list };
  std::string name;
  Kind kind = Kind::number;
  /** A number, a flag as 0 or 1, or the elements of a list. */
  std::vector<double> numbers;
  std::string text;
  uint64_t big = 0;
};

class Options {
 public:
  std::vector<Option> entries;

  const Option* find(const char* name) const {
    for (const Option& o : entries)
      if (o.name == name) return &o;
    return nullptr;
  }

  double number(const char* name, double otherwise) const {
    const Option* o = find(name);
    if (!o) return otherwise;
    require(o->kind == Option::Kind::number, std::string(name) + " must be a number");
    return o->numbers[0];
  }

  /** A whole number from `least` on that a coordinate can be computed with. */
  int64_t whole(const char* name, int64_t otherwise, int64_t least) const {
    return check(name, number(name, static_cast<double>(otherwise)), least);
  }

  bool flag(const char* name, bool otherwise) const {
    const Option* o = find(name);
    if (!o) return otherwise;
    require(o->kind == Option::Kind::flag, std::string(name) + " must be true or false");
    return o->numbers[0] != 0;
  }

  std::string text(const char* name, const char* otherwise) const {
    const Option* o = find(name);
    if (!o) return otherwise;
    require(o->kind == Option::Kind::text, std::string(name) + " must be a string");
    return o->text;
  }

  /** 64 bits, from a BigInt or a whole number; negative numbers wrap, as in PyTorch. */
  uint64_t bits(const char* name) const {
    const Option* o = find(name);
    require(o != nullptr, std::string(name) + " is missing");
    if (o->kind == Option::Kind::big) return o->big;
    require(o->kind == Option::Kind::number && std::trunc(o->numbers[0]) == o->numbers[0] &&
                std::abs(o->numbers[0]) <= 0x1p53,
            std::string(name) + " must be a whole number");
    return static_cast<uint64_t>(static_cast<int64_t>(o->numbers[0]));
  }

  /** One number for rows and columns, or one for each. */
  void pair(const char* name, int64_t otherwise, int64_t least, int64_t out[2]) const {
    const Option* o = find(name);
    if (!o) {
      out[0] = out[1] = otherwise;
      return;
    }
    const bool one = o->kind == Option::Kind::number;
    require(one || (o->kind == Option::Kind::list && o->numbers.size() == 2),
            std::string(name) + " must be a number or a pair of numbers");
    out[0] = check(name, o->numbers[0], least);
    out[1] = check(name, o->numbers[one ? 0 : 1], least);
  }

  /** A list of whole numbers; a single number is a list of one. Empty where left out. */
  std::vector<int64_t> list(const char* name) const {
    std::vector<int64_t> result;
    const Option* o = find(name);
    if (!o) return result;
    require(o->kind == Option::Kind::list || o->kind == Option::Kind::number,
            std::string(name) + " must be a list of numbers");
    for (double x : o->numbers) result.push_back(check(name, x, -COORDINATE));
    return result;
  }

 private:
  /** No product of two coordinates overflows 64 bits. */
  static constexpr int64_t COORDINATE = int64_t{1} << 31;

  static int64_t check(const char* name, double x, int64_t least) {
    require(std::trunc(x) == x && x >= static_cast<double>(least) &&
                x <= static_cast<double>(COORDINATE),
            std::string(name) + " must be a whole number of at least " + std::to_string(least));
    return static_cast<int64_t>(x);
  }
};

// ## The call itself

struct Call {
  const char* name;
  std::vector<Operand> inputs, outputs;
  Options options;
  Pool& pool;

  /** Input `i`, which must be there, of type float32, in one piece. */
  const Operand& input(size_t i) const { return inOnePiece(inputApart(i), "input", i); }
  const Operand& output(size_t i) const { return inOnePiece(outputApart(i), "output", i); }

  /** The same, of a kernel that knows what to do with a gap between images. */
  const Operand& inputApart(size_t i) const { return one(inputs, i, "input"); }
  const Operand& outputApart(size_t i) const { return one(outputs, i, "output"); }

  /** Input `i`, or an absent operand. */
  const Operand& optional(size_t i) const {
    return inOnePiece(maybe(inputs, i, "input"), "input", i);
  }
  const Operand& optionalOutput(size_t i) const {
    return inOnePiece(maybe(outputs, i, "output"), "output", i);
  }

  /** Refuses unless `t`, where present, has exactly this shape. */
  void want(const Operand& t, const std::vector<int64_t>& shape, const char* what) const {
    if (!t) return;
    bool same = t.axes == static_cast<int>(shape.size());
    for (int i = 0; same && i < t.axes; i++) same = t.shape[i] == shape[i];
    if (same) return;
    std::string expected;
    for (size_t i = 0; i < shape.size(); i++)
      expected += (i ? ", " : "") + std::to_string(shape[i]);
    throw Refusal(std::string(what) + " has shape " + t.show() + ", expected [" + expected + "]");
  }

  void wantSame(const Operand& t, const Operand& other, const char* what) const {
    want(t, std::vector<int64_t>(other.shape, other.shape + other.axes), what);
  }

  /** Refuses an option that asks for more than this kernel does. */
  void wantNo(const char* option) const {
    require(!options.find(option), std::string(name) + " has no option " + option + " here");
  }

  void wantAxes(const Operand& t, int axes, const char* what) const {
    require(t.axes == axes, std::string(what) + " must have " + std::to_string(axes) +
                                " axes, got " + t.show());
  }

 private:
  static const Operand& one(const std::vector<Operand>& list, size_t i, const char* kind) {
    const Operand& t = maybe(list, i, kind);
    require(t.present, std::string(kind) + " " + std::to_string(i) + " is missing");
    return t;
  }
  static const Operand& inOnePiece(const Operand& t, const char* kind, size_t i) {
    require(t.gap == 0, std::string(kind) + " " + std::to_string(i) +
                            " is a slice, but the kernel wants images one behind another");
    return t;
  }
  static const Operand& maybe(const std::vector<Operand>& list, size_t i, const char* kind) {
    static const Operand absent;
    if (i >= list.size() || !list[i].present) return absent;
    require(list[i].dtype == DType::float32, std::string(kind) + " " + std::to_string(i) + " is " +
                                                 dtypeNames[static_cast<int>(list[i].dtype)] +
                                                 ", expected float32");
    return list[i];
  }
};

}  // namespace convnotes
