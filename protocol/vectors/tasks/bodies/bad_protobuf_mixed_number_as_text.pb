
xMIXED2
5