# REINFORCE with the group's mean as baseline, no clip and no reference: see
# rl.mk, which says how to call it.

OBJECTIVE = reinforce
LAW	= --schedule linear

include $(dir $(lastword $(MAKEFILE_LIST)))rl.mk
