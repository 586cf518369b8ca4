"""How many events a second go through the queries of Nexmark and YSB, here and in Spark?"""
