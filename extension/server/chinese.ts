// # Chinese
//
// What the analysis says, in Simplified Chinese, by the English words. The terms are the notes'. A test
// compares the keys with what is said anywhere, and the holes of both sides.

export const chinese: ReadonlyMap<string, string> = new Map(
  Object.entries({
    // ## Passed on
    "{0}": "{0}",
    "{0}{1}": "{0}{1}",
    "{0}: {1}": "{0}：{1}",
    "{0} or {1}": "{0} 或 {1}",
    "{0} to {1}": "{0} 到 {1}",
    it: "它",
    none: "0 个",
    unknown: "未知",
    "it failed": "运行失败",

    // ## Sizes that do not fit
    "{0} (the input is {1})": "{0}（输入为 {1}）",
    "{0}={1}, but {2} {3} arrive": "{0}={1}，但实际传入的是 {2} {3}",
    channels: "个通道",
    features: "个特征",
    "the input must have {0} axes, but {1} arrive": "输入应有 {0} 个维度，但实际传入的有 {1} 个",
    "unflattened_size={0}, but {1} features arrive":
      "unflattened_size={0}，但实际传入的是 {1} 个特征",
    "{0}={1} fits only images of {2} pixels; for {3}×{4} it is {5}":
      "{0}={1} 只适合边长为 {2} 像素的图像；对 {3}×{4} 的图像应为 {5}",
    "Set {0} to {1}": "将 {0} 改为 {1}",
    "{0} comes before it": "它的前一层是 {0}",
    "it is called here": "在这里调用",
    "input {0} has {1} features, but weight {2} expects {3}; set in_features to {4}":
      "输入 {0} 有 {1} 个特征，而权重 {2} 需要 {3} 个；请将 in_features 设为 {4}",
    "input {0} has {1} channels, but weight {2}{3} expects {4}; set in_channels to {5}":
      "输入 {0} 有 {1} 个通道，而权重 {2}{3}需要 {4} 个；请将 in_channels 设为 {5}",
    " in {0} groups": "（分为 {0} 组）",
    "input {0} has {1} columns, but other {2} has {3} rows":
      "input {0} 有 {1} 列，而 other {2} 有 {3} 行",
    "matrices of {0}×{1} and {2}×{3} cannot be multiplied": "{0}×{1} 与 {2}×{3} 的矩阵不能相乘",
    "shapes {0} and {1} do not go together: axis {2} has sizes {3} and {4}, which must be equal or one of them 1":
      "形状 {0} 与 {1} 不匹配：第 {2} 维的大小分别为 {3} 和 {4}，两者须相等，或其中之一为 1",
    "kernelSize {0}{1} spans {2} pixels, but the {3} is {4}{5}; use a smaller kernel, more padding or a larger image":
      "kernelSize {0}{1}跨越 {2} 个像素，而{3}为 {4}{5}；请减小卷积核、增加填充或放大图像",
    " with dilation {0}": "（膨胀为 {0}）",
    " + 2·{0} of padding": "（另加填充 2·{0}）",
    height: "高",
    width: "宽",
    "nothing is left of {0} pixels": "{0} 个像素经过这一层后不再剩下像素",
    "{0} must be a whole number of at least {1}, got {2}": "{0} 应为不小于 {1} 的整数，但得到 {2}",
    "padding {0} exceeds half of kernelSize {1}, so a window could see no pixel (input {2})":
      "填充 {0} 超过 kernelSize {1} 的一半，窗口中可能没有任何像素（输入为 {2}）",
    "padding {0} and {1} cannot be put around axis {2} of size {3}: they must be whole numbers that leave at least 0":
      "不能在大小为 {3} 的第 {2} 维两端填充 {0} 和 {1}：两者应为整数，且填充后的大小不小于 0",
    "padding {0} must hold two numbers for each axis to pad, and {1} has {2} axes":
      "padding {0} 须为每个要填充的维度给出两个数，而 {1} 有 {2} 个维度",
    "groups={0} must divide both the {1} input and the {2} output channels":
      "groups={0} 须同时整除 {1} 个输入通道和 {2} 个输出通道",
    "Conv2d: groups {0} must divide both the {1} input and the {2} output channels":
      "Conv2d：groups {0} 须同时整除 {1} 个输入通道和 {2} 个输出通道",
    "groups {0} must be a whole number that divides the {1} output channels":
      "groups {0} 应为能整除 {1} 个输出通道的整数",
    "num_groups={0} must divide num_channels={1}": "num_groups={0} 须整除 num_channels={1}",
    "num_heads={0} must divide embed_dim={1}": "num_heads={0} 须整除 embed_dim={1}",
    "{0} channels of {1}×{2} cannot be shuffled by {3}":
      "{0} 个 {1}×{2} 的通道不能以倍数 {3} 进行像素重排",
    "{0} rows are no whole number of {1} blocks": "{0} 行不是 {1} 图像块的整数倍",
    "{0} cannot be halved": "{0} 不能对半分",
    "a size of {0} cannot become {1}": "大小 {0} 不能扩展为 {1}",
    "windows of {0} do not fit an axis of {1}": "大小为 {0} 的窗口放不进大小为 {1} 的维度",
    "einsum: {0} is {1} and {2}": "einsum：{0} 既是 {1} 又是 {2}",
    "{0} has {1} elements, which {2} cannot hold": "{0} 有 {1} 个元素，不能变形为 {2}",
    "only one size may be -1, got {0}": "只能有一个大小为 -1，但得到 {0}",
    "flatten: axes {0} to {1} do not exist in {2}": "flatten：{2} 中没有第 {0} 到第 {1} 维",
    "axis {0} does not exist among {1}": "共有 {1} 个维度，没有第 {0} 维",
    "axis {0} does not exist in {1}; allowed are {2} to {3}":
      "{1} 中没有第 {0} 维；可取 {2} 到 {3}",
    "an axis is named twice in {0}": "{0} 中有一个维度出现了两次",
    "there is no largest of no elements: axis {0} of {1} is empty":
      "没有元素就没有最大值：{1} 的第 {0} 维为空",
    "dims {0} must name each of the {1} axes of {2} once":
      "dims {0} 须把 {2} 的 {1} 个维度各列出一次",
    "{0} elements from index {1} do not lie in axis {2} of {3}, which has indices 0 to {4}":
      "从索引 {1} 开始的 {0} 个元素超出了 {3} 的第 {2} 维，其索引为 0 到 {4}",
    "index {0} is outside of an axis of {1}": "索引 {0} 超出了大小为 {1} 的维度",
    "{0} indices for {1} axes": "索引有 {0} 个，而维度只有 {1} 个",
    "tensors[{0}] has shape {1}, tensors[0] {2}; they may differ only along axis {3}":
      "tensors[{0}] 的形状为 {1}，tensors[0] 的形状为 {2}；它们只能在第 {3} 维上不同",
    "{0} must have {1} axes, got {2}: {3}": "{0} 应有 {1} 个维度，但得到 {2} 个：{3}",
    "{0} has shape {1}, expected {2} ({3})": "{0} 的形状为 {1}，应为 {2}（{3}）",
    "one for each output": "每个输出一个",
    "one for each output channel": "每个输出通道一个",
    "one for each class": "每个类别一个",
    "one for each channel of {0}": "{0} 的每个通道一个",
    "one label for each sample of input": "输入的每个样本一个标签",
    "one probability for each score": "每个得分一个概率",
    "that of param": "与 param 相同",
    "input must have at least 1 axis, got 0": "输入至少应有 1 个维度，但得到 0 个",
    "input must be [N, C] or [N, C, L], got {0}": "输入应为 [N, C] 或 [N, C, L]，但得到 {0}",
    "input must be [N, C, H, W], got {0}": "输入应为 [N, C, H, W]，但得到 {0}",
    "in training each channel needs more than one value, got {0}; use a larger batch, or eval()":
      "训练时每个通道须有一个以上的值，但得到 {0}；请增大批量，或使用 eval()",
    "evaluation needs running_mean and running_var": "评估模式需要 running_mean 和 running_var",
    "input is a single number, expected scores [C] or [N, C]":
      "输入是单个数，应为得分 [C] 或 [N, C]",
    "ignoreIndex needs labels, but target holds probabilities":
      "ignoreIndex 需要标签，而 target 是概率",
    'target is {0}, expected int64 labels or {1} probabilities; convert it with to("int64") or to("{2}")':
      'target 的类型为 {0}，应为 int64 标签或 {1} 概率；请用 to("int64") 或 to("{2}") 转换',
    "labelSmoothing must lie in 0 to 1, got {0}": "labelSmoothing 应在 0 到 1 之间，但得到 {0}",
    "p must be a probability from 0 to 1, got {0}": "p 应为 0 到 1 之间的概率，但得到 {0}",
    "outputSize must be whole numbers of at least 1, got {0}":
      "outputSize 应为不小于 1 的整数，但得到 {0}",
    "size is {0} for images of {1}, expected whole numbers of at least 1 pixel":
      "对 {1} 的图像，size 为 {0}，应为不小于 1 像素的整数",
    "std is {0}, expected a finite number above 0": "std 为 {0}，应为大于 0 的有限数",
    "momentum {0} needs a momentum_buffer of param's shape":
      "动量 {0} 需要形状与 param 相同的 momentum_buffer",
    "sizes must be whole numbers of at least 0, got {0}": "大小应为不小于 0 的整数，但得到 {0}",
    "{0} numbers do not fill a tensor of {1}": "{0} 个数不能填满形状为 {1} 的张量",
    "tensor: along axis {0} expected {1}, got {2}": "tensor：沿第 {0} 维应为 {1}，但得到 {2}",
    "a number": "一个数",
    "a row of {0}": "长为 {0} 的一行",
    "fans need a tensor of two axes or more, got {0}":
      "计算扇入和扇出需要两维以上的张量，但得到 {0}",
    "backward: a tensor of shape {0} needs its gradient as an argument; only a single value has 1 as its obvious gradient":
      "backward：形状为 {0} 的张量须以参数给出其梯度；只有单个值的梯度显然是 1",
    "backward: the gradient has shape {0}, the tensor {1}":
      "backward：梯度的形状为 {0}，而张量的形状为 {1}",

    // ## Legal, but odd
    "its bias does nothing: the batch normalisation after it takes the mean away; bias=False saves {0} parameters":
      "它的偏置不起作用：其后的批量归一化会减去均值；设 bias=False 可省去 {0} 个参数",
    "two linear layers with nothing between them are one linear layer":
      "两个线性层之间没有激活函数，等价于一个线性层",
    "{0} never seen: {1} does not divide by {2}": "{0}不会进入任何窗口：{1} 不能被 {2} 整除",
    "the last row is": "最后一行",
    "the last column is": "最后一列",
    "the last {0} rows are": "最后 {0} 行",
    "the last {0} columns are": "最后 {0} 列",
    "the cross-entropy loss takes the softmax itself; twice makes learning slow":
      "交叉熵损失本身已包含 softmax；做两次会使学习变慢",
    "{0} is never used in forward": "{0} 在 forward 中从未使用",

    // ## Not finished
    "this is not finished; the rest of the file is followed":
      "这里的代码尚未写完；文件的其余部分照常分析",
    "this is not finished": "这里的代码尚未写完",
    "something is missing here": "这里缺少内容",
    "this is nested too deeply": "这里嵌套过深",
    "too large": "数值过大",

    // ## Not followed
    "{0} is not followed": "不支持分析 {0}",
    "{0} is not followed here": "不支持分析这里的 {0}",
    "{0}.{1} is not followed": "不支持分析 {0}.{1}",
    "{0} is not followed: {1}": "未能分析 {0}：{1}",
    "the {0} is not followed": "不支持分析 {0} 属性",
    "the package {0} is not followed": "不支持分析 {0} 包",
    "the class is not followed": "不支持分析这个类",
    "the state is not followed": "不支持分析状态字典",
    "the index is not followed": "不支持分析这种索引",
    "the method {0} of a tensor is not followed": "不支持分析张量的 {0} 方法",
    "the method {0} of a list is not followed": "不支持分析列表的 {0} 方法",
    "the method {0} of a dictionary is not followed": "不支持分析字典的 {0} 方法",
    "the method {0} of a string is not followed": "不支持分析字符串的 {0} 方法",
    "this einsum is not followed": "不支持分析这个 einsum",
    "isclose is not followed": "不支持分析 isclose",
    "replace is not followed here": "不支持分析这里的 replace",
    "torch.utils is not followed": "不支持分析 torch.utils",
    "@ with a vector is not followed": "不支持分析向量的 @ 运算",
    "an endless count is not followed": "不支持分析没有终点的计数",
    "computed formats are not followed": "不支持分析由计算得出的格式",
    "{0} layers are more than are followed": "{0} 层过多，不再分析",
    "more than {0} steps; the rest is not followed": "超过 {0} 步；其余部分不再分析",
    "more than {0} milliseconds; the rest is not followed": "超过 {0} 毫秒；其余部分不再分析",
    "more than {0} elements; the rest is not followed": "超过 {0} 个元素；其余部分不再分析",
    "calls are nested more than {0} deep": "函数调用的嵌套超过 {0} 层",
    "modules are nested more than {0} deep": "模块的嵌套超过 {0} 层",
    "imports within imports": "导入的嵌套过深",
    "it differs between the two ways of an if: {0}": "它在 if 的两个分支中不同：{0}",

    "the pattern {0} is not followed": "不支持分析模式 {0}",

    // ## Not known
    "it depends on a tensor's numbers": "它取决于张量的具体数值",
    "what a mask picks depends on a tensor's numbers": "掩码选出什么取决于张量的具体数值",
    "{0} is not defined here": "{0} 在这里没有定义",
    "{0} has no attribute {1} that is known": "{0} 没有已知的属性 {1}",
    "the order of its attributes is not known": "它的属性的顺序未知",
    "no {0}": "没有 {0}",
    "{0} was not given its argument {1}": "调用 {0} 时缺少参数 {1}",
    "{0} was not given its {1}": "调用 {0} 时缺少 {1}",
    "{0} of {1} is {2}, not a whole number": "{1} 的 {0} 为 {2}，不是整数",
    "{0} is no number": "{0} 不是数",
    "{0} is no tensor": "{0}不是张量",
    "the input is no tensor": "输入不是张量",
    "the input": "输入",
    "the first input": "第一个输入",
    "the second input": "第二个输入",
    "the weight": "权重",
    "the query": "查询",
    "the key": "键",
    "the index": "索引",
    "the condition": "条件",
    "the grid": "网格",
    "an item": "其中一项",
    "a parameter that is no tensor": "不是张量的参数",
    "it is no module": "它不是模块",
    "{0} has no forward": "{0} 没有 forward",
    "{0} was not constructed": "{0} 没有完成构造",
    "{0} has not seen an input": "{0} 还没有见到输入",
    "a convolution without a batch": "没有批量维的卷积",
    "the network is only built": "网络只被构造，没有运行",
    "what is called here is not known": "不知道这里调用的是什么",
    "what is walked here is not known": "不知道这里遍历的是什么",
    "what is subscripted here is not known": "不知道这里取下标的是什么",
    "the named arguments are not known": "关键字参数未知",
    "the dictionary is not known": "字典的内容未知",
    "the slice is not known": "切片的范围未知",
    "the text is not known": "字符串的内容未知",
    "the index is no whole number": "索引不是整数",
    "the number is too large": "数值过大",
    "the tensor is too large": "张量过大",
    "a number cannot be walked": "单个数不能遍历",
    "there is nothing to unpack": "没有可以解包的值",
    "nothing is put together": "没有要拼接的张量",
    "pieces of no length": "分出的块长度为 0",
    "{0} of nothing": "对空序列求 {0}",
    "@ of what is no tensor": "@ 的操作数不是张量",
    "a random number": "一个随机数",
    "a type": "一个类型",
    "its type": "它的类型",
    "where it is kept": "它的存放位置",
    next: "下一项",

    // ## What the code itself raises
    "the code raises {0}{1}": "代码抛出 {0}{1}",
    "the code raises an exception": "代码抛出异常",
    "an assertion does not hold": "断言不成立",
    "a division by zero": "除数为零",

    "a slice with step 0": "切片的步长为 0",
    "pop from an empty list": "从空列表中 pop",
    "there is no key {0}": "没有键 {0}",
    "there is no item {0}": "没有第 {0} 项",
    "there is no module {0}": "没有模块 {0}",

    // ## Outputs
    "{0} (built-in drawing)": "{0}（内置图画）",
    "initial weights, seed {0}": "初始权重，随机种子 {0}",
    "a part of the network is not known": "网络有一部分未知",
    "it is constructed with arguments of its user": "构造它需要由使用者给出参数",
    "{0} is known to its shape only": "{0} 只知其形状",
    "{0} is not computed": "不能计算 {0}",
    "a copied layer": "复制的层",
    "a loss": "损失",
    "an index that is no plain slice": "不是普通切片的索引",
    "{0} with a number": "与数的 {0} 运算",
    "there is no network {0}": "没有网络 {0}",
    "there is no such network any more": "已没有这个网络",
    "{0} multiply-adds take too long here": "{0} 次乘加在这里耗时过长",
    "its input is not known": "它的输入未知",
    "it takes more than {0} seconds": "计算超过 {0} 秒",
    "its computation broke off": "计算中断",
    "the source has changed": "源代码已改变",
    "the server has ended": "服务器已结束",

    // ## TypeScript
    "TypeScript is run in a process of its own": "TypeScript 在单独的进程中运行",
    "the file is not followed beyond this: {0}": "文件从这里起不再分析：{0}",
    "{0} ends before it": "{0} 在到达它之前就结束了",
    "to show the models of TypeScript, esbuild must be installed beside it: npm install --save-dev esbuild":
      "要显示 TypeScript 的模型，须在其旁安装 esbuild：npm install --save-dev esbuild",
    'the package convnotes is not installed: "npm install convnotes"':
      '没有安装 convnotes 包："npm install convnotes"',
    "it runs for more than {0} seconds; its models are not shown":
      "它运行超过 {0} 秒；不显示其中的模型",
    "it does not begin within {0} seconds; its models are not shown":
      "它在 {0} 秒内没有开始运行；不显示其中的模型",
    "its process ended early": "它的进程提前结束",
  }),
);
