

am1 
P
b2K
wrong_dtype<column "x" record 1 is 300, expected a value that INT8 holds

cm1 C>
merge_mismatchtask "c" has no column "y"name the columnsb