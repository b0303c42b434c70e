include(${CMAKE_CURRENT_LIST_DIR}/memod-dependencies.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/memod-targets.cmake)
