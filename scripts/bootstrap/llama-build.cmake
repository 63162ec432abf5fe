# Included by llama.cpp's own project() call (CMAKE_PROJECT_llama.cpp_INCLUDE): the one place where the Python package's
# choice for LLAMA_BUILD_COMMON can still be changed. The common library, with its HTTP client, serves llama.cpp's command-line
# tools; nothing in the Python package links to it, and it is 40 % of the time that the package takes to build as it comes.
set(LLAMA_BUILD_COMMON OFF CACHE BOOL "llama.cpp: common library of the command-line tools" FORCE)
set(LLAMA_BUILD_COMMON OFF)
