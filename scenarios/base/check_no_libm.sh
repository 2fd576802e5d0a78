#!/bin/sh
# Fails if a library calls a libm function that IEEE 754 does not fix to the last bit: such a call chooses its code by
# CPU, and the same seed would no longer give the same bytes everywhere. floor, ceil, trunc, sqrt and fma are exact.
#   check_no_libm.sh NM LIBRARY...
set -eu
nm=$1
shift
found=$("$nm" -u "$@" | grep -E ' U _*(sin|cos|tan|asin|acos|atan|atan2|sinh|cosh|tanh|asinh|acosh|atanh|exp|exp2|exp10|expm1|log|log2|log10|log1p|pow|cbrt|hypot|erf|erfc|lgamma|tgamma|sincos)[fl]?(_finite)?(@.*)?$' || true)
[ -z "$found" ] || { echo "calls that differ between machines:"; echo "$found"; exit 1; }
