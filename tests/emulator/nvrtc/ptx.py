#!/usr/bin/env python3
"""Compiles kernels with a real NVRTC and translates the PTX to C++, so that tests on the host run the code that a GPU
would run.

    ptx.py LIBNVRTC.SO.13 KERNELS.cu OPTIONS... >KERNELS.cpp

Only what NVRTC makes of the kernels is translated. Anything else is an error that names it, with exit status 11; other
exit statuses are NVRTC's. A register becomes a variable of the same width, a label a label of C++. ptx_on_host.h defines
the instructions.
"""

import ctypes
import json
import re
import sys
from glob import glob

# Opcodes, with their type in the group that matches, and the types of the result and the operands: T is that type, W
# the type twice as wide, u a u32, p a predicate. The C++ function has the opcode's name without the type.
ARITHMETIC = [
    (r"(?:add|sub|mul\.lo)\.(s32|s64)|(?:div|rem|min|max)\.(u32|u64)|(?:add|sub|mul|div)\.rn\.(f32|f64)"
     r"|add\.rm\.(f32)|max\.(f32)|max\.NaN\.(f32)|min\.(f64)", "TTT"),
    (r"(?:and|or|xor)\.(b16|b32|b64|pred)", "TTT"),
    (r"(?:neg|sqrt\.rn)\.(f32|f64)|neg\.(s32|s64)|(?:abs|rcp\.rn)\.(f32|f64)|rcp\.approx\.ftz\.(f64)|not\.(b32|b64|pred)", "TT"),
    (r"fma\.rn\.(f32|f64)|mad\.lo\.(s32|s64)", "TTTT"),
    (r"mul\.wide\.(u32|s32)", "WTT"),
    (r"shl\.(b32|b64)|shr\.(u32|u64|s32)", "TTu"),
    (r"bfi\.(b32)", "TTTuu"),
    (r"setp\.(?:eq|ne|lt|le|gt|ge|equ|neu|ltu|leu|gtu|geu|nan)\.([usbf](?:32|64))", "pTT"),
    (r"selp\.([ubf](?:32|64))", "TTTp"),
]
CONVERSIONS = (
    r"cvt\.([us](?:16|32|64))\.([us](?:16|32|64))|cvt\.(f64)\.(f32)|cvt\.rn\.(f32)\.(f64)"
    r"|cvt\.rn\.(f32|f64)\.(u16|u32)|cvt\.rzi\.(f32)\.(f32)"
)
SPECIAL = {f"%{ptx}.{axis}": f"emulator_runtime->{name}.{axis}" for axis in "xy" for ptx, name in [
    ("tid", "thread_index"), ("ntid", "block_dim"), ("ctaid", "block_index"), ("nctaid", "grid_dim")]}


class Unknown(Exception):
    """PTX that this does not translate."""


def single(match):
    """The groups that matched."""
    return [group for group in match.groups() if group is not None]


def split(text):
    """Splits at commas outside of braces."""
    return [part.strip() for part in re.split(r",(?![^{]*\})", text)] if text.strip() else []


def elements(operand):
    """The registers of {a, b, c, d}."""
    return [part.strip() for part in operand.strip("{}").split(",")]


class Translator:
    def __init__(self, source):
        self.source = source.split("\n")
        self.sites, self.kernels, self.out = [], [], []
        self.symbols, self.registers = {}, {}

    # ---- Operands ------------------------------------------------------------------------------------------------

    def variable(self, name):
        if not re.fullmatch(r"%?[A-Za-z_]\w*", name):
            raise Unknown(f"the operand {name}")
        return "v_" + name.lstrip("%")

    def value(self, operand, kind):
        """An operand, as a value of a type."""
        if operand in SPECIAL:
            return f"({kind}){SPECIAL[operand]}"
        if operand in self.symbols:
            return f"({kind}){self.symbols[operand]}"
        if match := re.fullmatch(r"0([fd])([0-9A-Fa-f]+)", operand):
            return f"get<{kind}>({'u32' if match[1] == 'f' else 'u64'}(0x{match[2]}))"
        if re.fullmatch(r"-?\d+", operand):
            if kind == "pred":
                return "false" if operand == "0" else "true"
            return f"get<{kind}>((u64){operand}ull)"
        name = self.variable(operand)
        # A plain variable compiles much faster.
        return name if self.is_register(operand, kind) else f"get<{kind}>({name})"

    def assign(self, operand, kind, value):
        name = self.variable(operand)
        return f"{name} = {value};" if self.is_register(operand, kind) else f"set<{kind}>({name}, {value});"

    def is_register(self, operand, kind):
        return kind == "pred" or (kind[0] in "ub" and self.registers.get(operand) == "u" + kind[1:])

    def address(self, operand):
        match = re.fullmatch(r"\[([%\w]+)(?:\+(-?\d+))?\]", operand)
        if not match:
            raise Unknown(f"the address {operand}")
        base = self.symbols.get(match[1]) or self.variable(match[1])
        return f"(u64){base} + (u64){match[2] or 0}ll"

    # ---- Instructions --------------------------------------------------------------------------------------------

    def site(self, line, text, source_line):
        source = self.source[source_line - 1].strip() if 0 < source_line <= len(self.source) else ""
        self.sites.append(f"{{{line}, {json.dumps(text)}, {source_line}, {json.dumps(source)}}}")
        return len(self.sites) - 1

    def arithmetic(self, opcode, operands):
        for pattern, signature in ARITHMETIC:
            match = re.fullmatch(pattern, opcode)
            if match and len(operands) == len(signature):
                [kind] = single(match)
                wide = kind[0] + str(2 * int(kind[1:])) if "W" in signature else ""
                kinds = [{"T": kind, "W": wide, "u": "u32", "p": "pred"}[letter] for letter in signature]
                function = "op_" + opcode[: -len(kind) - 1].replace(".", "_")
                arguments = ", ".join(self.value(*pair) for pair in zip(operands[1:], kinds[1:]))
                return self.assign(operands[0], kinds[0], f"{function}<{kind}>({arguments})")
        return None

    def move(self, kind, to, source):
        if "{" in source + to:
            parts = elements(source if "{" in source else to)
            width = int(kind[1:]) // len(parts)
            shifts = [(part, i * width) for i, part in enumerate(parts)]
            if "{" in source:
                values = (f"({kind}){self.value(part, f'u{width}')} << {by}" for part, by in shifts)
                return self.assign(to, kind, " | ".join(values))
            whole = self.value(source, kind)
            return " ".join(self.assign(part, f"u{width}", f"(u{width})({whole} >> {by})") for part, by in shifts)
        return self.assign(to, kind, self.value(source, kind))

    def memory(self, opcode, operands, site):
        match = re.fullmatch(
            r"(ld|st)(?:\.volatile)?(?:\.(global|shared|param))?(?:\.v([24]))?\.([usbf](?:8|16|32|64))", opcode)
        if not match:
            return None
        space, count, kind = match[2] or "global", int(match[3] or 1), match[4]
        address, data = operands if match[1] == "st" else operands[::-1]
        data = elements(data)
        if len(data) != count:
            raise Unknown(f"{count} operands of {opcode}")
        where = f"StateSpace::{space}, {self.address(address)}, sizeof t"
        if match[1] == "st":
            values = ", ".join(self.value(d, kind) for d in data)
            return f"{{ {kind} t[] = {{{values}}}; machine->store({where}, t, {site}); }}"
        assigns = " ".join(self.assign(d, kind, f"t[{i}]") for i, d in enumerate(data))
        return f"{{ {kind} t[{count}]; machine->load({where}, t, {site}); {assigns} }}"

    def warp(self, operation, site, taken, made):
        assigns = " ".join(self.assign(to, "b32", f"s.out[{i}]") for i, to in enumerate(made))
        step = f"WarpStep s = {{{site}, {{{', '.join(taken)}}}, {{}}}};"
        return f"{{ {step} emulator_runtime->warp(machine->{operation}, &s); {assigns} }}"

    def special(self, opcode, operands, site):
        if re.fullmatch(r"mov\.([ubf](16|32|64)|pred)", opcode):
            return self.move(opcode[4:], *operands)
        if match := re.fullmatch(CONVERSIONS, opcode):
            to, source = single(match)
            mode = "_".join(opcode.split(".")[:-2])
            return self.assign(operands[0], to, f"op_{mode}<{to}, {source}>({self.value(operands[1], source)})")
        if opcode == "cvt.rn.bf16x2.f32":
            high, low = (f"to_bf16({self.value(o, 'f32')})" for o in operands[1:])
            return self.assign(operands[0], "b32", f"(u32){high} << 16 | {low}")
        if opcode == "cvta.to.global.u64":
            return self.assign(operands[0], "u64", self.value(operands[1], "u64"))
        if opcode in ("bra", "bra.uni"):
            return f"goto {operands[0].replace('$', '')};"
        if opcode == "ret":
            return "return;"
        if opcode == "bar.sync" and operands == ["0"]:
            return f"machine->barrier({site});"
        if opcode == "bar.warp.sync" and operands == ["-1"]:
            return self.warp("sync", site, [], [])
        if opcode == "cp.async.cg.shared.global" and operands[2:] == ["16"]:
            return f"machine->copy((u32)({self.address(operands[0])}), {self.address(operands[1])}, {site});"
        if opcode == "cp.async.commit_group":
            return "machine->commit();"
        if opcode == "cp.async.wait_group":
            return f"machine->wait({int(operands[0])});"
        if opcode == "shfl.sync.bfly.b32":
            to, in_range = operands[0].split("|")
            code = self.warp("shuffle", site, [self.value(o, "u32") for o in operands[1:]], [to])
            return f"{code} {self.assign(in_range, 'pred', 'true')}"
        if match := re.fullmatch(r"ldmatrix\.sync\.aligned\.m8n8\.x4(\.trans)?\.shared\.b16", opcode):
            taken = [f"(u32)({self.address(operands[1])})", "1" if match[1] else "0"]
            return self.warp("ldmatrix", site, taken, elements(operands[0]))
        if opcode == "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32":
            d, *rest = map(elements, operands)
            return self.warp("mma", site, [self.value(o, "u32") for part in rest for o in part], d)
        return None

    def instruction(self, text, line, source_line):
        guard, opcode, rest = re.fullmatch(r"(?:@(%\w+)\s+)?([\w.:]+)\s*(.*)", text, re.S).groups()
        operands = split(rest)
        site = None
        if re.match(r"ld|st|cp\.|bar|shfl|mma", opcode):
            site = self.site(line, " ".join(text.split()), source_line)
        code = (self.arithmetic(opcode, operands) or self.memory(opcode, operands, site)
                or self.special(opcode, operands, site))
        if code is None:
            raise Unknown(f"the instruction {' '.join(text.split())}")
        return f"if ({self.value(guard, 'pred')}) {{ {code} }}" if guard else code

    # ---- The text ------------------------------------------------------------------------------------------------

    def directive(self, text):
        if match := re.fullmatch(r"\.reg \.(\w+)\s+(%?\w+)<(\d+)>|\.reg \.(\w+)\s+([%\w, ]+)", text):
            names = [f"{match[2]}{i}" for i in range(int(match[3]))] if match[1] else split(match[5])
            kind = match[1] or match[4]
            kind = kind if kind == "pred" else "u" + kind[1:]
            self.registers.update(dict.fromkeys(names, kind))
            self.out.append(f"{kind} {', '.join(map(self.variable, names))};")
        elif match := re.fullmatch(r"\.extern \.shared \.align \d+ \.b8 (\w+)\[\]", text):
            self.symbols[match[1]] = "shared_begin"
        elif not text.startswith(".pragma"):
            raise Unknown(f"the directive {text}")

    def entry(self, text):
        match = re.fullmatch(
            r"\.visible \.entry (\w+)\(\s*\.param \.align \d+ \.b8 (\w+)\[(\d+)\]\s*\)\s*\.maxntid (\d+)(?:, 1, 1)?\s*",
            text)
        if not match:
            raise Unknown(f"the entry {text}")
        name, param, size, threads = match.groups()
        self.symbols[param] = "(u64)args"
        self.kernels.append((name, size, threads))
        self.out.append(f"static void {name}_thread(const void* args) {{")
        self.out.append("const Machine* machine = emulator_runtime->machine;")

    def translate(self, ptx):
        # Comments, .loc and .file end with their line; everything else ends at a semicolon, a brace or a colon.
        source_lines, source_line, lines = [], 0, []
        for line in ptx.split("\t.section")[0].split("\n"):
            line = line.split("//")[0]
            if match := re.match(r"\s*\.loc\s+\d+\s+(\d+)", line):
                source_line, line = int(match[1]) or source_line, ""
            if re.match(r"\.(version|target|address_size)|\s*\.file", line):
                line = ""
            lines.append(line)
            source_lines.append(source_line)
        text, at, depth, line = "\n".join(lines), 0, 0, 1
        token = re.compile(r"\s*(?:(\})|(\{)|(\.visible[^{]*)\{|([$\w]+):|((?:[^;{}]|\{[^;{}]*\})+);)")
        text = text.rstrip()
        while at < len(text) or depth:
            match = token.match(text, at)
            if not match:
                raise Unknown(f"the text {text[at:at + 80]!r}")
            close, begin, entry, label, statement = match.groups()
            line += text.count("\n", at, match.end())
            at = match.end()
            try:
                if close:
                    depth -= 1
                    self.out.append("}")
                elif begin or entry:
                    depth += 1
                    self.entry(entry) if entry else self.out.append("{")
                elif label:
                    self.out.append(f"{label.replace('$', '')}:;")
                elif statement.startswith("."):
                    self.directive(statement.strip())
                else:
                    self.out.append(self.instruction(statement.strip(), line, source_lines[line - 1]))
            except Unknown as unknown:
                raise Unknown(f"line {line}: {unknown}") from None
        records = [
            f'extern "C" {{ extern const Kernel {name}; const Kernel {name} = '
            f'{{kernel_magic, "{name}", {size}, {threads}, {name}_thread, sites}}; }}'
            for name, size, threads in self.kernels]
        sites = "static const Site sites[] = {\n" + ",\n".join(self.sites or ["{}"]) + "};"
        return "\n".join([*self.out, sites, *records, ""])


def compiled(path, source, options):
    """The PTX that NVRTC makes. If it fails, ends the process with its status and its log."""
    for part in glob(path.rsplit("/", 1)[0] + "/libnvrtc-builtins.so*"):
        ctypes.CDLL(part)  # NVRTC does not look for it in its own folder
    nvrtc, program, size = ctypes.CDLL(path), ctypes.c_void_p(), ctypes.c_size_t()
    options = [option.replace("=sm_", "=compute_").encode() for option in [*options, "-lineinfo"]]

    def text(size_of, get):
        size_of(program, ctypes.byref(size))
        content = ctypes.create_string_buffer(size.value)
        get(program, content)
        return content.value.decode()

    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    if status != 0:
        sys.stderr.write(text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog))
        sys.exit(status)
    return text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)


def main():
    source = open(sys.argv[2], encoding="utf-8").read()
    ptx = compiled(sys.argv[1], source, sys.argv[3:])
    try:
        print(Translator(source).translate(ptx), end="")
    except Unknown as unknown:
        print(f"ptx.py does not know {unknown}", file=sys.stderr)
        sys.exit(11)


if __name__ == "__main__":
    main()
