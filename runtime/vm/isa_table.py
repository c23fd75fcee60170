"""Every instruction form that the virtual machine runs, as text (see `isa.py` for how it reads).

A line is one form: the opcode, its modifiers, then after a colon the types, position by position.
`a/b` is a choice that must be made, `a!` must be there, anything else may be; `*` stands for any
text.
Of what PTX has up to ISA 9.0 and sm_90a, `MISSING` lists what this leaves out, and why.
"""

TABLE = """
# Integer arithmetic
add: u16 s16 u32 s32 u64 s64 u16x2 s16x2
add sat!: s32
add cc!: u32 s32 u64 s64
sub: u16 s16 u32 s32 u64 s64
sub sat!: s32
sub cc!: u32 s32 u64 s64
addc cc: u32 s32 u64 s64
subc cc: u32 s32 u64 s64
mul lo/hi: u16 s16 u32 s32 u64 s64
mul wide!: u16 s16 u32 s32
mad lo/hi: u16 s16 u32 s32 u64 s64
mad lo/hi cc!: u32 s32 u64 s64
mad hi! sat!: s32
mad wide!: u16 s16 u32 s32
madc lo/hi cc: u32 s32 u64 s64
mul24 lo/hi: u32 s32
mad24 lo/hi: u32 s32
mad24 hi! sat!: s32
div: u16 s16 u32 s32 u64 s64
rem: u16 s16 u32 s32 u64 s64
abs: s16 s32 s64
neg: s16 s32 s64
min: u16 s16 u32 s32 u64 s64 u16x2 s16x2
max: u16 s16 u32 s32 u64 s64 u16x2 s16x2
min relu!: s32 s16x2
max relu!: s32 s16x2
sad: u16 s16 u32 s32 u64 s64
dp4a: u32 s32, u32 s32
dp2a lo/hi: u32 s32, u32 s32

# Bits
and: b16 b32 b64 pred
or: b16 b32 b64 pred
xor: b16 b32 b64 pred
not: b16 b32 b64 pred
cnot: b16 b32 b64
shl: b16 b32 b64
shr: b16 b32 b64 u16 u32 u64 s16 s32 s64
shf l/r clamp/wrap: b32
lop3: b32
lop3 or/and: b32
prmt f4e b4e rc8 ecl ecr rc16: b32
bfe: u32 s32 u64 s64
bfi: b32 b64
bfind shiftamt: u32 s32 u64 s64
bmsk clamp/wrap: b32
szext clamp/wrap: u32 s32
brev: b32 b64
popc: b32 b64
clz: b32 b64
fns: b32

# Video
vadd sat add min max: u32 s32, u32 s32, u32 s32
vsub sat add min max: u32 s32, u32 s32, u32 s32
vabsdiff sat add min max: u32 s32, u32 s32, u32 s32
vmin sat add min max: u32 s32, u32 s32, u32 s32
vmax sat add min max: u32 s32, u32 s32, u32 s32
vshl clamp/wrap sat add min max: u32 s32, u32 s32, u32
vshr clamp/wrap sat add min max: u32 s32, u32 s32, u32
vmad sat po shr7 shr15: u32 s32, u32 s32, u32 s32
vset eq/ne/lt/le/gt/ge add min max: u32 s32, u32 s32
vadd2 sat add: u32 s32, u32 s32, u32 s32
vsub2 sat add: u32 s32, u32 s32, u32 s32
vavrg2 sat add: u32 s32, u32 s32, u32 s32
vabsdiff2 sat add: u32 s32, u32 s32, u32 s32
vmin2 sat add: u32 s32, u32 s32, u32 s32
vmax2 sat add: u32 s32, u32 s32, u32 s32
vset2 eq/ne/lt/le/gt/ge add: u32 s32, u32 s32
vadd4 sat add: u32 s32, u32 s32, u32 s32
vsub4 sat add: u32 s32, u32 s32, u32 s32
vavrg4 sat add: u32 s32, u32 s32, u32 s32
vabsdiff4 sat add: u32 s32, u32 s32, u32 s32
vmin4 sat add: u32 s32, u32 s32, u32 s32
vmax4 sat add: u32 s32, u32 s32, u32 s32
vset4 eq/ne/lt/le/gt/ge add: u32 s32, u32 s32

# Floating point
add rn rz rm rp ftz sat: f32
add rn rz rm rp: f64
sub rn rz rm rp ftz sat: f32
sub rn rz rm rp: f64
mul rn rz rm rp ftz sat: f32
mul rn rz rm rp: f64
fma rn/rz/rm/rp ftz sat: f32
fma rn/rz/rm/rp: f64
mad rn/rz/rm/rp ftz sat: f32
mad rn/rz/rm/rp: f64
div approx/full/rn/rz/rm/rp ftz: f32
div rn/rz/rm/rp: f64
rcp approx/rn/rz/rm/rp ftz: f32
rcp rn/rz/rm/rp: f64
rcp approx! ftz!: f64
sqrt approx/rn/rz/rm/rp ftz: f32
sqrt rn/rz/rm/rp: f64
rsqrt approx! ftz: f32 f64
sin approx! ftz: f32
cos approx! ftz: f32
lg2 approx! ftz: f32
ex2 approx! ftz: f32
tanh approx!: f32
min ftz NaN xorsign abs: f32
max ftz NaN xorsign abs: f32
min: f64
max: f64
abs ftz: f32
abs: f64
neg ftz: f32
neg: f64
copysign: f32 f64
testp finite/infinite/number/notanumber/normal/subnormal: f32 f64

# Halves
add rn ftz sat: f16 f16x2
add rn: bf16 bf16x2
sub rn ftz sat: f16 f16x2
sub rn: bf16 bf16x2
mul rn ftz sat: f16 f16x2
mul rn: bf16 bf16x2
fma rn! ftz sat relu: f16 f16x2
fma rn! relu: bf16 bf16x2
fma rn! oob! relu: f16 f16x2 bf16 bf16x2
min ftz NaN xorsign abs: f16 f16x2
max ftz NaN xorsign abs: f16 f16x2
min NaN xorsign abs: bf16 bf16x2
max NaN xorsign abs: bf16 bf16x2
abs ftz: f16 f16x2
abs: bf16 bf16x2
neg ftz: f16 f16x2
neg: bf16 bf16x2
ex2 approx!: f16 f16x2
ex2 approx! ftz!: bf16 bf16x2
tanh approx!: f16 f16x2 bf16 bf16x2

# Comparison and selection
setp eq/ne/lt/le/gt/ge/lo/ls/hi/hs and or xor: b16 u16 s16 b32 u32 s32 b64 u64 s64
setp eq/ne/lt/le/gt/ge/equ/neu/ltu/leu/gtu/geu/num/nan and or xor ftz: f32 f16 f16x2
setp eq/ne/lt/le/gt/ge/equ/neu/ltu/leu/gtu/geu/num/nan and or xor: f64 bf16 bf16x2
set eq/ne/lt/le/gt/ge/lo/ls/hi/hs and or xor: u32 s32 f32, b16 u16 s16 b32 u32 s32 b64 u64 s64
set eq/ne/lt/le/gt/ge/equ/neu/ltu/leu/gtu/geu/num/nan and or xor ftz: u32 s32 f32, f32
set eq/ne/lt/le/gt/ge/equ/neu/ltu/leu/gtu/geu/num/nan and or xor: u32 s32 f32, f64
set eq/ne/lt/le/gt/ge/equ/neu/ltu/leu/gtu/geu/num/nan and or xor ftz: f16 u16 s16 u32 s32, f16
set eq/ne/lt/le/gt/ge/equ/neu/ltu/leu/gtu/geu/num/nan and or xor: bf16 u16 s16 u32 s32, bf16
set eq/ne/lt/le/gt/ge/equ/neu/ltu/leu/gtu/geu/num/nan and or xor ftz: f16x2, f16x2
set eq/ne/lt/le/gt/ge/equ/neu/ltu/leu/gtu/geu/num/nan and or xor: bf16x2, bf16x2
selp: b16 u16 s16 b32 u32 s32 b64 u64 s64 f32 f64
slct: b16 u16 s16 b32 u32 s32 b64 u64 s64 f32 f64, s32
slct ftz: b16 u16 s16 b32 u32 s32 b64 u64 s64 f32 f64, f32

# Conversion
cvt sat: u8 s8 u16 s16 u32 s32 u64 s64, u8 s8 u16 s16 u32 s32 u64 s64
cvt rni/rzi/rmi/rpi ftz sat: u8 s8 u16 s16 u32 s32 u64 s64, f16 bf16 f32 f64
cvt rn/rz/rm/rp ftz sat: f16 bf16 f32 f64, u8 s8 u16 s16 u32 s32 u64 s64
cvt rn/rz/rm/rp ftz sat: f16 f32, f64
cvt rn/rz/rm/rp ftz sat relu satfinite: f16 bf16, f32
cvt rn/rz/rm/rp: bf16, f64 f16
cvt rn rz rm rp: f16, bf16
cvt ftz sat: f32 f64, f16 bf16
cvt ftz sat: f64, f32
cvt rni rzi rmi rpi ftz sat: f32, f32
cvt rni rzi rmi rpi ftz sat: f16, f16
cvt rni rzi rmi rpi: bf16, bf16
cvt rni rzi rmi rpi sat: f64, f64
cvt rn/rz relu satfinite: f16x2 bf16x2, f32
cvt rna! satfinite: tf32, f32
cvt rn/rz relu satfinite: tf32, f32
cvt rn! satfinite! relu: e4m3x2 e5m2x2, f32 f16x2
cvt rn! relu: f16x2, e4m3x2 e5m2x2
cvt pack! sat!: u16 s16, s32
cvt pack! sat!: u8 s8 u4 s4 u2 s2, s32, b32

# Moves and addresses
mov v2 v4: b16 u16 s16 b32 u32 s32 b64 u64 s64 b128 f32 f64 pred
cvta to global shared shared::cta shared::cluster local const param param::entry: u64
isspacep global/shared/shared::cta/shared::cluster/local/const/param/param::entry:
mapa shared::cluster: u32 u64
getctarank shared::cluster: u32 u64
alloca: u64
stacksave: u64
stackrestore: u64
createpolicy fractional! L2::evict_last L2::evict_normal L2::evict_first L2::evict_unchanged: b64
createpolicy range! global L2::evict_last L2::evict_normal L2::evict_first L2::evict_unchanged: b64
createpolicy cvt! L2!: b64

# Memory
ld {WINDOW} local const param param::entry param::func weak volatile relaxed acquire mmio {SCOPE} \
ca cg cs lu cv nc L1::* L2::* unified v2 v4 v8: {DATA}
ldu global v2 v4: {DATA}
st {WINDOW} local param param::func weak volatile relaxed release mmio {SCOPE} \
wb cg cs wt L1::* L2::* v2 v4 v8: {DATA}
st async! weak shared::cluster mbarrier::complete_tx::bytes v2 v4: \
b32 b64 u32 u64 s32 s64 f32 f64
atom add/min/max/and/or/xor/exch/cas/inc/dec noftz {WINDOW} relaxed acquire release acq_rel \
{SCOPE} L2::cache_hint v2 v4 v8: \
b16 b32 b64 b128 u32 s32 u64 s64 f16 bf16 f16x2 bf16x2 f32 f64
red add/min/max/and/or/xor/inc/dec noftz {WINDOW} relaxed release {SCOPE} L2::cache_hint v2 v4 v8: \
b32 b64 u32 s32 u64 s64 f16 bf16 f16x2 bf16x2 f32 f64
red async! add/min/max/and/or/xor/inc/dec relaxed cluster shared::cluster \
mbarrier::complete_tx::bytes: \
b32 u32 s32 u64
prefetch global local const param L1 L2 L2::evict_last L2::evict_normal tensormap:
prefetchu L1!:
applypriority global L2::evict_normal!:
discard global L2!:

# Warps
shfl sync! up/down/bfly/idx: b32
vote sync! all/any/uni: pred
vote sync! ballot!: b32
match sync! any/all: b32 b64
redux sync! add/min/max: u32 s32
redux sync! and/or/xor: b32
activemask: b32
elect sync!:

# Synchronization
bar cta sync/arrive:
bar warp! sync!:
bar cta red! popc!: u32
bar cta red! and/or: pred
barrier cta sync/arrive aligned:
barrier cta red! popc! aligned: u32
barrier cta red! and/or aligned: pred
barrier cluster! arrive/wait release relaxed acquire aligned:
membar cta/gl/sys:
fence sc acq_rel acquire release {SCOPE} sync_restrict::*:
fence proxy! alias async async::generic async.global global shared::cta shared::cluster \
tensormap::generic acquire release {SCOPE} sync_restrict::*:
fence mbarrier_init! release! cluster!:
mbarrier init! shared shared::cta: b64
mbarrier inval! shared shared::cta: b64
mbarrier expect_tx/complete_tx relaxed {SCOPE} shared shared::cta shared::cluster: b64
mbarrier arrive/arrive_drop expect_tx noComplete release relaxed {SCOPE} \
shared shared::cta shared::cluster: b64
mbarrier test_wait/try_wait parity acquire relaxed {SCOPE} shared shared::cta: b64
mbarrier pending_count!: b64
griddepcontrol launch_dependents/wait:
setmaxnreg inc/dec sync! aligned!: u32
nanosleep: u32
pmevent mask:
brkpt:
trap:

# Asynchronous copies
cp async! ca/cg shared shared::cta global! L2::64B L2::128B L2::256B L2::cache_hint:
cp async! commit_group/wait_group/wait_all:
cp async! mbarrier! arrive! noinc shared shared::cta: b64
cp async! bulk! commit_group/wait_group read:
cp async! bulk! shared::cta shared::cluster global mbarrier::complete_tx::bytes bulk_group \
multicast::cluster L2::cache_hint:
cp async! bulk! prefetch! L2! global! L2::cache_hint:
cp async! bulk! tensor! 1d/2d/3d/4d/5d tile shared::cta shared::cluster global \
mbarrier::complete_tx::bytes bulk_group multicast::cluster L2::cache_hint:
cp async! bulk! prefetch! tensor! 1d/2d/3d/4d/5d L2 global tile L2::cache_hint:
cp reduce! async! bulk! add/min/max/inc/dec/and/or/xor noftz shared::cta shared::cluster global \
mbarrier::complete_tx::bytes bulk_group L2::cache_hint: f16 bf16 b32 u32 s32 b64 u64 s64 f32 f64
cp reduce! async! bulk! tensor! 1d/2d/3d/4d/5d add/min/max/inc/dec/and/or/xor tile shared::cta \
global bulk_group L2::cache_hint:
tensormap replace! tile! global shared::cta global_address/rank/box_dim/global_dim/global_stride/\
element_stride/elemtype/interleave_layout/swizzle_mode/swizzle_atomicity/fill_mode: b1024, b32 b64
tensormap cp_fenceproxy! global shared::cta tensormap::generic release {SCOPE} sync aligned:

# Matrices
ldmatrix sync! aligned! m8n8! x1/x2/x4 trans shared shared::cta: b16
stmatrix sync! aligned! m8n8! x1/x2/x4 trans shared shared::cta: b16
movmatrix sync! aligned! m8n8! trans!: b16
mma sync! aligned! m8n8k4! row col: f16 f32, f16, f16, f16 f32
mma sync! aligned! m16n8k8/m16n8k16 row! col!: f16 f32, f16, f16, f16 f32
mma sync! aligned! m16n8k8/m16n8k16 row! col!: f32, bf16, bf16, f32
mma sync! aligned! m16n8k4/m16n8k8 row! col!: f32, tf32, tf32, f32
mma sync! aligned! m16n8k16/m16n8k32 row! col!: f16 f32, e4m3 e5m2, e4m3 e5m2, f16 f32
mma sync! aligned! m8n8k4/m16n8k4/m16n8k8/m16n8k16 row! col! rn rz rm rp: f64, f64, f64, f64
mma sync! aligned! m8n8k16/m16n8k16/m16n8k32 row! col! satfinite: s32, u8 s8, u8 s8, s32
mma sync! aligned! m8n8k32/m16n8k32/m16n8k64 row! col! satfinite: s32, u4 s4, u4 s4, s32
mma sync! aligned! m8n8k128/m16n8k128/m16n8k256 row! col! xor/and popc!: s32, b1, b1, s32
mma sp/sp::ordered_metadata sync! aligned! m16n8k16/m16n8k32 row! col!: f16 f32, f16, f16, f16 f32
mma sp/sp::ordered_metadata sync! aligned! m16n8k16/m16n8k32 row! col!: f32, bf16, bf16, f32
mma sp/sp::ordered_metadata sync! aligned! m16n8k8/m16n8k16 row! col!: f32, tf32, tf32, f32
mma sp/sp::ordered_metadata sync! aligned! m16n8k64! row! col!: f32, e4m3 e5m2, e4m3 e5m2, f32
mma sp/sp::ordered_metadata sync! aligned! m16n8k32/m16n8k64 row! col! satfinite: \
s32, u8 s8, u8 s8, s32
mma sp/sp::ordered_metadata sync! aligned! m16n8k64/m16n8k128 row! col! satfinite: \
s32, u4 s4, u4 s4, s32
wmma load! a/b/c sync! aligned! row/col m16n16k16/m8n32k16/m32n8k16/m16n16k8/m8n8k4/m8n8k32/\
m8n8k128 {WINDOW}: f16 bf16 tf32 f64 f32 s32 s8 u8 s4 u4 b1
wmma store! d! sync! aligned! row/col m16n16k16/m8n32k16/m32n8k16/m16n16k8/m8n8k4/m8n8k32/\
m8n8k128 {WINDOW}: f16 f32 f64 s32
wmma mma! sync! aligned! row col m16n16k16/m8n32k16/m32n8k16: f16 f32, f16 f32
wmma mma! sync! aligned! row col m16n16k16/m8n32k16/m32n8k16: f32, bf16, bf16, f32
wmma mma! sync! aligned! row col m16n16k8!: f32, tf32, tf32, f32
wmma mma! sync! aligned! row col m8n8k4! rn rz rm rp: f64, f64, f64, f64
wmma mma! sync! aligned! row col m16n16k16/m8n32k16/m32n8k16 satfinite: s32, u8 s8, u8 s8, s32
wmma mma! sync! aligned! row! col! m8n8k32! satfinite: s32, u4 s4, u4 s4, s32
wmma mma! sync! aligned! row! col! m8n8k128! xor/and popc!: s32, b1, b1, s32
wgmma fence/commit_group/wait_group sync! aligned!:
wgmma mma_async! sync! aligned! m64n*k16: f16 f32, f16, f16
wgmma mma_async! sync! aligned! m64n*k16: f32, bf16, bf16
wgmma mma_async! sync! aligned! m64n*k8: f32, tf32, tf32
wgmma mma_async! sync! aligned! m64n*k32: f16 f32, e4m3 e5m2, e4m3 e5m2
wgmma mma_async! sync! aligned! m64n*k32 satfinite: s32, u8 s8, u8 s8

# Control
bra uni:
brx idx! uni:
call uni:
ret uni:
exit:
"""

WORDS = {
    "WINDOW": "global shared shared::cta shared::cluster",
    "SCOPE": "cta cluster gpu sys",
    "DATA": "b8 u8 s8 b16 u16 s16 b32 u32 s32 f32 b64 u64 s64 f64 b128",
}
"""What the names in braces stand for."""

MISSING = {
    "istypep": "textures are not modelled",
    "tex": "textures are not modelled",
    "tld4": "textures are not modelled",
    "txq": "textures are not modelled",
    "suld": "surfaces are not modelled",
    "sust": "surfaces are not modelled",
    "sured": "surfaces are not modelled",
    "suq": "surfaces are not modelled",
    "multimem": "memory of several devices is not modelled",
    "tcgen05": "it needs sm_100 or later",
    "clusterlaunchcontrol": "it needs sm_100 or later",
}
"""Opcodes that are not run at all, and why."""

REASONS = {
    "im2col": "im2col copies are not modelled",
    "im2col::w": "im2col copies are not modelled",
    "im2col_no_offs": "im2col copies are not modelled",
    "tile::gather4": "it needs sm_100 or later",
    "tile::scatter4": "it needs sm_100 or later",
    "cta_group::1": "it needs sm_100 or later",
    "cta_group::2": "it needs sm_100 or later",
    "bulk": "it needs sm_100 or later",
    "cp_mask": "it needs sm_100 or later",
    "f32x2": "it needs sm_100 or later",
    "e2m1x2": "it needs sm_100 or later",
    "e2m3x2": "it needs sm_100 or later",
    "e3m2x2": "it needs sm_100 or later",
    "ue8m0x2": "it needs sm_100 or later",
    "b8x16": "it needs sm_100 or later",
    "m16n16": "it needs sm_100 or later",
    "m16n8": "it needs sm_100 or later",
    "sp": "sparse wgmma is not modelled",
}
"""Why a form with one of these modifiers is not run."""
