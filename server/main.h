// The main of a memod, the shipped one's or your own:
//
//   #include <memod/server/main.h>
//   int main(int argc, char** argv) {
//     memod::Registry registry;
//     registry.Class<&SlowAdder::Create>("memo.examples.v1.SlowAdder")
//         .Method<&SlowAdder::Calculate>("Calculate");
//     return memod::Main(argc, argv, registry);
//   }
#pragma once

#include "memod/server/hosted_class.h"

namespace memod {

// Reads flags, environment and configuration file, serves until SIGTERM or SIGINT, drains, and
// returns what main returns:
//   0  served and drained, or did what was asked for (--help, --version, --check-config, healthcheck)
//
//   1  could not serve (a port is taken, ...) or go on, was interrupted while it drained, or healthcheck
//      found it unhealthy
//
//   2  flags or configuration are wrong
int Main(int argc, char** argv, const Registry& registry);

}  // namespace memod
