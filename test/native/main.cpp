// The native tests' entry point. Run by test/native/native.test.ts, or by hand: build/Release/native_tests -tc="*rope*".
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "doctest/doctest.h"
