# The warnings that our own code is held to.
add_library(atoll_warnings INTERFACE)
target_compile_options(atoll_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wpointer-arith -Wundef -Wvla -Wwrite-strings -Wformat=2 -Wno-format-nonliteral
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition>
  $<$<BOOL:${ATOLL_WERROR}>:-Werror>)
