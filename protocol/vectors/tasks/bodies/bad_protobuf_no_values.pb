

xINT16