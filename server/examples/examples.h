// The classes that the shipped memod hosts.
#pragma once

#include "memod/server/hosted_class.h"

namespace memod::examples {

void Register(Registry& registry);

}  // namespace memod::examples
