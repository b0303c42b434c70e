// Two servers to compare: a bare gRPC service as its documentation shows how to write a fast one, and
// memod hosting a class that answers the same. This program is either, where it is started as:
//
//   PROGRAM --serve-bare|--serve-memod [ANSWER_BYTES]      default: 64
#pragma once

#include <cstdint>
#include <string>

namespace memod::benchmark {

inline constexpr char kServeBare[] = "--serve-bare";
inline constexpr char kServeMemod[] = "--serve-memod";

// Of 14 bytes: with tag and length, a request of 16.
std::string Key(uint64_t number);
// To memod: calls the keys 0 to `count` - 1 itself before it answers, so that its session holds them.
std::string FillKey(int count);

// First thing in main: does not return if told to serve.
void ServeIfTold(int argc, char** argv);

}  // namespace memod::benchmark
