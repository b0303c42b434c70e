// Two servers to compare: a bare gRPC service as its documentation shows how to write a fast one, and
// memod hosting a class that answers the same. This program is either, where it is started as:
//
//   PROGRAM --serve-bare|--serve-memod [ANSWER_BYTES]      default: 64
#pragma once

namespace memod::benchmark {

inline constexpr char kServeBare[] = "--serve-bare";
inline constexpr char kServeMemod[] = "--serve-memod";

// What makes a request of 16 bytes, with its tag and length.
inline constexpr int kKeyBytes = 14;

// First thing in main: does not return if told to serve.
void ServeIfTold(int argc, char** argv);

}  // namespace memod::benchmark
