// # A program
//
// A whole step as a list of kernel calls, run one after another without JavaScript in between. What
// calls hand to one another lies at planned places of one arena; what outlives the step (parameters,
// images, labels, results) is bound anew at each run.
//
// A program is as little trusted as a call: places must lie in the arena, what is bound must be as
// large as was said, and every kernel checks its operands as it always does.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dispatch.h"

namespace convnotes {

/**
 * Where one value lies: at `at` bytes in the arena, or number `at` of what is bound. A slice of a value in the
 * arena begins `first` elements further on.
 */
struct Place {
  Operand what;
  bool bound = false;
  size_t at = 0, first = 0;

  size_t elementBytes() const { return dtypeBytes[static_cast<int>(what.dtype)]; }
  size_t bytes() const { return static_cast<size_t>(what.size()) * elementBytes(); }
  /** From `at` up to the end of the last image. */
  size_t reach() const { return (first + static_cast<size_t>(what.extent())) * elementBytes(); }
  bool isSlice() const { return first > 0 || what.gap > 0; }
};

class Program {
 public:
  struct Step {
    std::string kernel;
    /** Numbers of places; −1 where one is left out. */
    std::vector<int> inputs, outputs;
    Options options;
    /** Options that are set anew at each run. */
    std::vector<std::string> varying;
  };

  struct Description {
    size_t arenaBytes = 0;
    std::vector<Place> places;
    std::vector<Step> steps;
    /** After so many steps the program goes on only if that place holds a finite number. */
    int guardAfter = -1, guardPlace = -1;
    /** Fills the arena with NaN before each run, so that a value that nobody wrote shows. */
    bool poison = false;
  };

  /** One step to look at: copies of its operands, where wanted, taken before and after it. */
  struct Watch {
    size_t step = 0;
    std::vector<Operand> inputs, outputs;
  };

  /** How many tensors are bound at each run, and how many numbers vary. */
  struct Needs {
    size_t bounds = 0, numbers = 0;
  };

  /** Throws: Refusal for a place outside the arena, or a number of no place. */
  static Needs check(const Description& description);

  /** Throws: Refusal for what `check` refuses, and for slices, which the host's kernels do not take. */
  explicit Program(Description description);
  ~Program();

  const std::vector<Place>& places() const { return description_.places; }
  size_t bounds() const { return needs_.bounds; }
  size_t steps() const { return description_.steps.size(); }

  /**
   * Runs on what is bound; `numbers` are the varying options, step after step. Adds the nanoseconds
   * of each step to `times`, and copies what `watch` asks for, where given. Returns whether the
   * guard let it finish.
   *
   * Throws: Refusal for what is bound wrongly, and whatever the kernels refuse.
   */
  bool run(const InstructionSet& set, Pool& pool, const std::vector<Operand>& bound,
           const std::vector<double>& numbers, double* times, const Watch* watch);

 private:
  struct Arena;
  void prepare(const InstructionSet& set, Pool& pool);

  Description description_;
  Needs needs_;
  std::shared_ptr<Arena> arena_;
  const Kernels* kernels_ = nullptr;
  Pool* pool_ = nullptr;
  std::vector<void (*)(Call&)> entries_;
  std::vector<Call> calls_;
};

}  // namespace convnotes
