"""Who reads a value, and whether it ends in a product."""

from __future__ import annotations

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.elementwise import Binary, Cast, Compare, Fma, Select, Unary
from tilewright.ir.instructions.matmul import Mma
from tilewright.ir.instructions.shape import Convert, Transpose, View
from tilewright.ir.kernel import Kernel
from tilewright.ir.values import Value, shape_of

Users = dict[Value, list[Instruction]]
CHAIN = (Transpose, Cast, Unary, Binary, Compare, Select, Fma, Convert, View)
"""Instructions through which a tile is still an operand in the making."""


def find_users(kernel: Kernel) -> Users:
    """The instructions that read each value."""
    users: Users = {}
    for item in kernel.walk():
        for value in item.operand_values:
            users.setdefault(value, []).append(item)
    return users


def ends_in_product(value: Value, users: Users) -> bool:
    """Whether `value` becomes an operand of a product, perhaps through a chain."""
    return any(is_operand(user, value, users) for user in users.get(value, ()))


def is_operand(user: Instruction, value: Value, users: Users) -> bool:
    """Whether `user` takes `value` as an operand of a product, or carries it on to one."""
    if isinstance(user, Mma):
        return value in (user.x, user.y)
    return isinstance(user, CHAIN) and ends_in_product(user.results[0], users)


def find_product(value: Value, users: Users) -> tuple[Mma, int] | None:
    """The one product that a tile alone goes into, and which of the tile's axes is its k."""
    places = list(range(len(shape_of(value))))  # axis of the operand → axis of the tile
    while len(found := users.get(value, [])) == 1:
        (user,) = found
        if isinstance(user, Mma) and len(places) == 2 and value is not user.acc:
            return user, places[1 if value is user.x else 0]
        if isinstance(user, Transpose):
            places = [places[a] for a in user.axes]
        elif not isinstance(user, (Cast, Unary)):
            return None
        value = user.results[0]
    return None


def feeds_rows(product: Mma, users: Users) -> bool:
    """Whether a product's result becomes the first operand of another: its rows stay rows."""
    stack = [product.results[0]]
    while stack:
        value = stack.pop()
        for user in users.get(value, ()):
            if isinstance(user, Mma) and value is user.x:
                return True
            if isinstance(user, CHAIN) and not isinstance(user, Transpose):
                stack.append(user.results[0])
    return False
