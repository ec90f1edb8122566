"""How an operator is cut into tiles: spaces that are legal by construction, and the choice by estimated cycles."""
