# Group relative policy optimisation: see rl.mk, which says how to call it.

OBJECTIVE = grpo
KL	= 0.02
LAW	= --clip-low 0.2 --clip-high 0.2 --schedule constant

include $(dir $(lastword $(MAKEFILE_LIST)))rl.mk
